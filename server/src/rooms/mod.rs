//! What Parlor keeps of the rooms that it makes, beyond what Discord says of them: when they end by themselves, which
//! call made them, and how a channel is recognised whose making was not answered.
//!
//! Pure: time comes in as an argument, and nothing here asks anybody.

mod lifecycle;
mod record;
mod search;

#[cfg(test)]
pub(crate) use self::record::tests::intent as sample_intent;
pub use self::{
    lifecycle::{Cause, Due, Lifecycles},
    record::{CallKey, CallRecord, Intent, Invitation, Progress, RequestHash},
    search::{Answers, Finding, Wanted, mark_of},
};
