//! The unit's configuration: strict TOML.
