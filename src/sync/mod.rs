//! The conversation between car and back office: wire format and the car's side.
