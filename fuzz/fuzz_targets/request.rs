//! Values from the command line: sizes, expectations, needs and selectors. A value that is accepted must print as a
//! text that is accepted and has the same value.
#![no_main]

use hugeprobe::domain::request::{Expectation, PageCount, Selector};
use hugeprobe::domain::size::PageSize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(size) = text.parse::<PageSize>() {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(expectation) = text.parse::<Expectation>() {
        assert_eq!(expectation.to_string().parse(), Ok(expectation));
    }
    if let Ok(count) = text.parse::<PageCount>() {
        assert_eq!(count.to_string().parse(), Ok(count));
    }
    if let Ok(selector) = text.parse::<Selector>() {
        assert_eq!(selector.to_string().parse(), Ok(selector));
    }
});
