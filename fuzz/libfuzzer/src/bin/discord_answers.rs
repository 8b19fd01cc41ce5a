#![no_main]
parlor_libfuzzer::program!(discord_answers);
