//! Loops over long buffers, compiled for the vectors of several processors.

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for any processor, and
/// called as the processor at hand allows. Rust rounds every operation as it is written, so wider
/// vectors change no bit. Generics stand in brackets after the name.
macro_rules! wide {
    (
        $(#[$about:meta])*
        $vis:vis fn $name:ident $([$($generic:tt)*])? ($($arg:ident: $type:ty),* $(,)?) -> $out:ty
        $body:block
    ) => {
        $(#[$about])*
        $vis fn $name $(<$($generic)*>)? ($($arg: $type),*) -> $out {
            #[inline(always)]
            fn plain $(<$($generic)*>)? ($($arg: $type),*) -> $out $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512 $(<$($generic)*>)? ($($arg: $type),*) -> $out {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$($generic)*>)? ($($arg: $type),*) -> $out {
                    plain($($arg),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has it.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has it.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use wide;
