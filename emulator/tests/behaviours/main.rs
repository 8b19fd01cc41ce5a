//! What real clients may rely on, over real sockets: one module per behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod audit_log;
mod bot;
mod caller;
mod close_codes;
mod compression;
mod control;
mod fault_injection;
mod identify;
mod invites;
mod lifecycle;
mod outages;
mod permissions;
mod purity;
mod rare_faults;
mod rate_limits;
mod rest;
mod rest_troubles;
mod resume;
mod virtual_time;
mod voice;
mod voice_calls;
mod voice_close_codes;
mod voice_dave;
mod voice_faults;
mod voice_resume;
mod webhooks;
