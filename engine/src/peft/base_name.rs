//! The base model that an adapter names.

/// The name of the 16-bit model that a bitsandbytes 4-bit copy (`…-bnb-4bit`, `…-unsloth-bnb-4bit`) was quantized from; the name
/// itself if it is not one.
#[must_use]
pub fn sixteen_bit_name(name: &str) -> &str {
    let name = name.strip_suffix("-bnb-4bit").unwrap_or(name);
    name.strip_suffix("-unsloth").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_4_bit_copy_is_mapped_to_its_16_bit_sibling() {
        assert_eq!(sixteen_bit_name("unsloth/gemma-3-1b-it-unsloth-bnb-4bit"), "unsloth/gemma-3-1b-it");
        assert_eq!(sixteen_bit_name("unsloth/gemma-3-1b-it-bnb-4bit"), "unsloth/gemma-3-1b-it");
        assert_eq!(sixteen_bit_name("google/gemma-3-1b-it"), "google/gemma-3-1b-it");
    }
}
