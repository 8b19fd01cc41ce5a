#![no_main]
parlor_libfuzzer::program!(move_participant_request);
