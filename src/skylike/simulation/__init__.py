"""A survey drawn with GalSim, its truth known, in the file formats of the real one."""
