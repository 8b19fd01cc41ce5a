#![no_main]
parlor_libfuzzer::program!(page_token);
