//! The back office: service, store and identities.
