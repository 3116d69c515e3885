//! Loops compiled twice: for any processor, and for those with 256-bit vectors, chosen when they run.

/// Defines a function whose body is compiled for the plain instruction set and once more with AVX2 and FMA.
///
/// The body is the same, and so is the result: Rust neither reorders floating-point operations nor fuses them.
macro_rules! wide {
    ($(#[$about:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$about])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn anywhere($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn with_vectors($($arg: $type),*) $(-> $ret)? {
                anywhere($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                // SAFETY: the processor has just been asked for both features.
                return unsafe { with_vectors($($arg),*) };
            }
            anywhere($($arg),*)
        }
    };
}

pub(crate) use wide;
