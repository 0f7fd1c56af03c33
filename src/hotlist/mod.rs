//! Lists of vehicles of interest in redb, and the match of a read against them.
