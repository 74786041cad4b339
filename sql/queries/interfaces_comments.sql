-- Comments of columns in the order given, NULL where there is none or the table is 0 (an expression).
--   :tables   oid[], pg_class.oid of tables and views
--   :columns  integer[], numbers of their columns, as many
SELECT col_description(origin.relation, origin.attribute)
FROM unnest(CAST(:tables AS oid[]), CAST(:columns AS integer[]))
    WITH ORDINALITY AS origin (relation, attribute, place)
ORDER BY origin.place
