#![no_main]
parlor_libfuzzer::program!(execute_webhook_request);
