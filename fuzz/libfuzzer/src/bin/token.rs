#![no_main]
parlor_libfuzzer::program!(token);
