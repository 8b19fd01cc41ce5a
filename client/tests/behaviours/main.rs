//! What the program `parlor` and the client library do, against the server and the emulated Discord. One file each, named
//! as the behaviour.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests: the file's name is the documentation")]

mod a_development_token_is_made_with_the_key_of_dev;
mod a_reader_that_goes_away_is_no_error;
mod a_watch_goes_on_where_it_ended;
mod door;
mod exit_codes_say_what_happened;
mod help_says_what_the_program_takes;
mod participants_are_changed_from_the_command_line;
mod program;
mod rooms_are_changed_and_batched_from_the_command_line;
mod rooms_are_made_and_ended_from_the_command_line;
mod rooms_are_played_into_from_the_command_line;
mod rooms_are_recorded_from_the_command_line;
mod the_bot_is_in_a_room_while_somebody_wants_it;
mod the_doctor_finds_what_is_wrong;
mod the_library_mends_its_stream;
mod what_gets_lost_is_seen_at_once;
