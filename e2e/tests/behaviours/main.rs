//! What Parlor does, seen by real clients. One file each, named as the behaviour.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests: the file's name is the documentation")]

mod a_draining_server_says_so;
mod a_lease_is_its_subjects_alone;
mod a_person_can_be_removed;
mod a_proxy_works_as_the_page_says;
mod a_python_program_goes_on_where_it_was;
mod a_python_program_records_and_answers;
mod a_real_bot_works_as_the_page_says;
mod a_refusal_says_with_which_code;
mod a_slow_listener_loses_its_own_frames;
mod a_voice_session_is_taken_up_after_a_restart;
mod arrows_point_where_they_may;
mod bots_manage_rooms_as_at_discord;
mod callers_find_the_contract_over_tls;
mod callers_who_call_too_often_are_told_when_to_come_back;
mod discord_faults_converge;
mod each_request_makes_one_room;
mod every_language_sees_the_same_events;
mod every_metric_is_described;
mod every_stream_is_judged;
mod everybody_is_heard_under_their_own_name;
mod faults_leave_no_hole;
mod one_call_hears_and_speaks;
mod parlor_talks_with_other_voice_libraries;
mod participants_are_moved_muted_and_disconnected;
mod real_voice_clients_hear_each_other;
mod refusals_are_what_the_contract_says;
mod retired_encryption_is_used_where_it_is_accepted;
mod rooms_are_made_and_ended_from_every_language;
mod rooms_are_what_was_asked_for;
mod rooms_come_through_chaos;
mod rooms_end_by_their_policy;
mod the_documentation_works;
mod the_readme_works;
mod the_room_page;
mod two_libraries_see_what_callers_did;
mod users_who_do_not_want_to_be_heard_are_not;
mod voice_goes_on_after_trouble;
mod voice_sessions_are_shared_and_leased;
mod webhooks_write_without_showing_their_tokens;
