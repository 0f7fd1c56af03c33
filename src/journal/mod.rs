//! What must not be lost: reads, hits, pictures and faults, in redb.
