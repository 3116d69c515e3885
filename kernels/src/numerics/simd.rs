//! Function multiversioning: loops compiled for any processor and for AVX2, chosen at run time.

/// Defines a function whose body is compiled twice: for the baseline instruction set, and with AVX2 and FMA.
///
/// Both versions give the same bits: Rust neither reorders nor fuses floating-point operations.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2_fma($($arg: $type),*) $(-> $ret)? {
                portable($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                // SAFETY: the processor has both features, as just detected.
                return unsafe { avx2_fma($($arg),*) };
            }
            portable($($arg),*)
        }
    };
}

pub(crate) use multiversion;
