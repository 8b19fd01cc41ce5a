#![no_main]
parlor_libfuzzer::program!(emulator_voice);
