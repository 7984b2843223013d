//! Run-time dispatch of loops to the processor's vector instructions.

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for the baseline, and which
/// calls the widest that the processor supports. Rust does not reorder floating-point operations,
/// so the width changes no bit. Generic parameters are in brackets after the function's name.
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
