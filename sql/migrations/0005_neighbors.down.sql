DROP VIEW skylike.neighbor;
DROP TABLE skylike.neighbor_list;
DROP TABLE skylike.neighbor_shard;
DROP TABLE skylike.neighbor_run;
