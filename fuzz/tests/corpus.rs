//! What fuzzing kept, read again.

use std::fs;
use std::path::Path;

/// One test, because the memory it measures is the whole process's.
#[test]
fn every_input_that_was_kept_is_read_without_panic_and_in_proportion() {
    for (name, target) in fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut read = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target.check(&fs::read(&path).unwrap());
            read += 1;
        }
        assert!(read > 10, "{} has {read} inputs", folder.display());
    }
}
