//! The facts about a machine and its libraries on which the last bits of a result depend.

use std::fs;

use serde::{Deserialize, Serialize};

/// What `config.toml` keeps of the machine that a run computed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// This program's.
    pub program_version: String,
    /// Of the libtorch that the program was built against; `none` without one.
    pub libtorch_version: String,
    /// What libtorch's kernels are chosen by: AVX512, AVX2 or DEFAULT.
    pub instruction_set: String,
    /// Its mathematical libraries choose by this, too.
    pub cpu_vendor: String,
    /// For the reader; processors of one kind compute the same.
    pub cpu: String,
    /// For the reader: MPI carries numbers and computes none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mpi: String,
    /// In what the other kinds of machines differed on which a resumed run was computed before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
}

impl Machine {
    /// This one. `mpi` is the library's own name and version; empty in a run without.
    pub(crate) fn detect(mpi: &str) -> Machine {
        let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Machine {
            program_version: env!("CARGO_PKG_VERSION").into(),
            libtorch_version: env!("DQN_TRADER_LIBTORCH_VERSION").into(),
            instruction_set: instruction_set(
                std::env::var("ATEN_CPU_CAPABILITY").ok().as_deref(),
                cpu_has(),
            )
            .into(),
            cpu_vendor: cpu_fact(&about, "vendor_id"),
            cpu: cpu_fact(&about, "model name"),
            mpi: mpi.into(),
            before: Vec::new(),
        }
    }

    /// A run that was computed on `before` is resumed here.
    pub(crate) fn follow(&mut self, before: &Machine) {
        self.before = before.differences(self);
    }

    /// The facts in which results of the two can differ, as `key: one, here other`.
    pub(crate) fn differences(&self, here: &Machine) -> Vec<String> {
        let facts = [
            ("program_version", &self.program_version, &here.program_version),
            ("libtorch_version", &self.libtorch_version, &here.libtorch_version),
            ("instruction_set", &self.instruction_set, &here.instruction_set),
            ("cpu_vendor", &self.cpu_vendor, &here.cpu_vendor),
        ];
        let differing = facts.into_iter().filter(|(_, one, other)| one != other);
        let told = differing.map(|(key, one, other)| format!("{key}: {one}, here {other}"));
        self.before.iter().cloned().chain(told).collect()
    }
}

/// A line for the user where results here cannot be expected to equal those of `run`, which was
/// made on the machine `other`.
pub(crate) fn warning(run: &str, other: Option<&Machine>, here: &Machine) -> Option<String> {
    let differing = other?.differences(here);
    (!differing.is_empty()).then(|| {
        format!(
            "{run} was computed on a different kind of machine ({}): \
             results may not match bit for bit.",
            differing.join("; ")
        )
    })
}

/// Whether the processor has AVX512 (VL, BW, DQ) and AVX2, both with FMA.
fn cpu_has() -> (bool, bool) {
    #[cfg(target_arch = "x86_64")]
    {
        let fma = is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        (fma && avx512, fma && is_x86_feature_detected!("avx2"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    (false, false)
}

/// As libtorch chooses, in aten/src/ATen/native/DispatchStub.cpp: what the environment asks for,
/// else the best that there is.
fn instruction_set(asked: Option<&str>, (avx512, avx2): (bool, bool)) -> &'static str {
    match asked {
        Some("avx512") => "AVX512",
        Some("avx2") => "AVX2",
        Some("default") => "DEFAULT",
        _ if avx512 => "AVX512",
        _ if avx2 => "AVX2",
        _ => "DEFAULT",
    }
}

/// The first processor's value in `/proc/cpuinfo`; empty where there is none.
fn cpu_fact(about: &str, key: &str) -> String {
    let values = about.lines().filter_map(|line| line.split_once(':'));
    let found = values.map(|(k, value)| (k.trim(), value.trim())).find(|(k, _)| *k == key);
    found.map(|(_, value)| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_a_result_makes_a_machine_another() {
        let here = Machine::detect("Open MPI 4.1.4");
        let same =
            Machine { cpu: "another of the kind".into(), mpi: String::new(), ..here.clone() };
        assert_eq!(warning("the run", Some(&same), &here), None);
        assert_eq!(warning("the run", None, &here), None);
        let other = Machine { instruction_set: "AVX1024".into(), ..here.clone() };
        let line = warning("results/config.toml", Some(&other), &here).unwrap();
        let difference = format!("instruction_set: AVX1024, here {}", here.instruction_set);
        assert!(line.starts_with("results/config.toml was computed on a different kind"), "{line}");
        assert!(line.contains(&difference) && line.contains("bit for bit"), "{line}");
        // Resumed here, and then once more.
        let mut resumed = here.clone();
        resumed.follow(&other);
        let again = warning("it", Some(&resumed), &here).unwrap();
        assert!(again.contains(&difference), "{again}");
    }

    #[test]
    fn the_instruction_set_is_the_best_there_is_or_what_is_asked_for() {
        assert_eq!(instruction_set(None, (true, true)), "AVX512");
        assert_eq!(instruction_set(None, (false, true)), "AVX2");
        assert_eq!(instruction_set(Some("fastest"), (false, false)), "DEFAULT");
        assert_eq!(instruction_set(Some("avx2"), (true, true)), "AVX2");
    }

    #[test]
    fn facts_are_those_of_the_first_processor() {
        let about = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: EPYC: 9\n\n\
            processor\t: 1\nvendor_id\t: Other\n";
        assert_eq!(cpu_fact(about, "vendor_id"), "AuthenticAMD");
        assert_eq!(cpu_fact(about, "model name"), "EPYC: 9");
        assert_eq!(cpu_fact(about, "flags"), "");
    }
}
