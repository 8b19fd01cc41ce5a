#![no_main]
parlor_libfuzzer::program!(voice_audio);
