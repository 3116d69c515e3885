//! `Vec::resize` for buffers of weights: it writes an element at a time where it is compiled without optimization.

/// Changes the length; new bytes are 0.
pub fn bytes(buffer: &mut Vec<u8>, length: usize) {
    buffer.resize(length, 0);
}

/// Changes the length; new values are 0.
pub fn values(buffer: &mut Vec<f32>, length: usize) {
    buffer.resize(length, 0.0);
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_there_stays_and_what_is_new_is_zero() {
        let (mut bytes, mut values) = (vec![1, 2, 3], vec![1.0, 2.0]);
        super::bytes(&mut bytes, 2);
        super::bytes(&mut bytes, 4);
        super::values(&mut values, 3);
        assert_eq!((bytes, values), (vec![1, 2, 0, 0], vec![1.0, 2.0, 0.0]));
    }
}
