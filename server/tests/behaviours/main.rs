//! What the program parlord does, as its user sees it. One file each, named as the behaviour.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests: the file's name is the documentation")]

mod dev_prints_what_to_type_next;
mod parlord;
mod secrets_stay_secret;
mod serve_says_what_is_missing;
