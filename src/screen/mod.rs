//! The only room that knows Slint.
