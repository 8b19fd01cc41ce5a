//! What a voice session does, seen from outside: inputs in, outputs out, on virtual time.

mod fake_group;
mod scripted;
mod simulation;

mod a_close_code_decides_how_to_go_on;
mod a_session_joins;
mod a_source_belongs_to_whom_the_server_says;
mod end_to_end_encryption_follows_the_opcodes;
mod frames_come_in_their_turn;
mod hours_change_nothing;
mod opted_out_users_are_not_heard;
mod real_keys_open_what_they_should;
mod sources_are_mixed;
mod speech_begins_and_ends;
mod the_main_gateway_decides_where_to_be;
mod transitions_lose_nothing;

/// A number from the environment.
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
