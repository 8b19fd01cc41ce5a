#![no_main]
parlor_libfuzzer::program!(create_room_request);
