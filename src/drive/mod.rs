//! The made-up drive: a road, vehicles and plates that nobody owns, with exact truth.
