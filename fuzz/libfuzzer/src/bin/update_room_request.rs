#![no_main]
parlor_libfuzzer::program!(update_room_request);
