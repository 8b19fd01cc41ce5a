#![no_main]
parlor_libfuzzer::program!(voice_frame_trailer);
