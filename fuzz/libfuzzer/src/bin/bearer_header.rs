#![no_main]
parlor_libfuzzer::program!(bearer_header);
