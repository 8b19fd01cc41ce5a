//! One program for each target of `parlor-fuzz`: a file in `bin/` with the target's name, of one line.

pub use libfuzzer_sys;
pub use parlor_fuzz;

/// The program of one target.
#[macro_export]
macro_rules! program {
    ($target:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::parlor_fuzz::$target(data));
    };
}
