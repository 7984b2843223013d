#!/usr/bin/env bash
# Tests of run_with_env.sh, reported in the format of cargo test. The expected values are those of dotenvy 0.15 for the same
# files.
# shellcheck disable=SC2016 # a literal $ in single quotes is intended
set -uo pipefail

clone=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/clone/.cloudkeys" "$work/clone/target/release" "$work/elsewhere"
cp "$clone/run_with_env.sh" "$work/clone/"
keys="$work/clone/.cloudkeys/api_keys.env"
run="$work/clone/run_with_env.sh"
unset -v KEY OTHER ALPHAVANTAGE_API_KEY AZURE_STORAGE_CONNECTION_STRING OMPI_COMM_WORLD_RANK
passed=0
failed=0

check() { # NAME WANTED GOT
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
    printf 'test run_with_env::%s ... ok\n' "$1"
  else
    failed=$((failed + 1))
    printf 'test run_with_env::%s ... FAILED\n  wanted: %q\n  got:    %q\n' "$1" "$2" "$3"
  fi
}

reads() { # NAME FILE WANTED: the file's text gives KEY that value
  printf '%s\n' "$2" >"$keys"
  check "$1" "$3" "$("$run" printenv KEY 2>&1)"
}

refuses() { # NAME FILE LINE: one line of error that names the line and none of its text; exit code 2
  printf '%s\n' "$2" >"$keys"
  local output status=0
  output=$("$run" printenv KEY 2>&1) || status=$?
  [[ $output == "error: $keys, line $3: "* && $output != *$'\n'* && $output != *secret* ]] && output=as_wanted
  check "$1" "2 as_wanted" "$status $output"
}

azure='DefaultEndpointsProtocol=https;AccountName=x;AccountKey=a+b/c==;EndpointSuffix=core.windows.net'

test_values() {
  reads connection_string "KEY=$azure" "$azure"
  reads connection_string_in_double_quotes "KEY=\"$azure\"" "$azure"
  reads connection_string_in_single_quotes "KEY='$azure'" "$azure"
  reads spaces "KEY='two words'" 'two words'
  reads double_quotes_inside "KEY='say \"so\"'" 'say "so"'
  reads single_quotes_inside "KEY=\"it's so\"" "it's so"
  reads shell_text_is_not_run "KEY='\$(touch $work/ran) \`touch $work/ran\`; \$HOME \\n'" \
    "\$(touch $work/ran) \`touch $work/ran\`; \$HOME \\n"
  check nothing_was_run absent "$([ -e "$work/ran" ] && echo present || echo absent)"
  reads hash_inside_a_word 'KEY=a#b' 'a#b'
  reads hash_in_quotes 'KEY="a # b"' 'a # b'
  reads comment_after_a_value 'KEY=a # b' 'a'
  reads escapes 'KEY=a\ \$b\\c' 'a $b\c'
  reads line_break_in_quotes 'KEY="a\nb"' $'a\nb'
  reads quotes_over_two_lines $'KEY="a\nb"' $'a\nb'
  reads parts_of_a_word "KEY=a'b c'\"d\"" 'ab cd'
  reads empty_value 'KEY=' ''
  reads windows_line_end $'KEY=a\r' 'a'
  reads byte_order_mark $'\xef\xbb\xbfKEY=a' 'a'
  reads unicode 'KEY=clé' 'clé'
}

test_lines() {
  reads export_prefix 'export KEY=a' 'a'
  reads spaces_around_the_name '  KEY = a' 'a'
  reads comments_and_blank_lines $'# KEY=b\n\n   # more\nKEY=a\n' 'a'
  reads the_first_of_two_wins $'KEY=a\nKEY=b' 'a'
  reads earlier_lines_are_known $'OTHER=a\nKEY=${OTHER}b' 'ab'
  printf 'KEY=a' >"$keys"
  check no_line_end_at_the_end a "$("$run" printenv KEY 2>&1)"
  refuses spaces_without_quotes 'KEY=secret word' 1
  refuses open_quote $'# first\nKEY="secret' 2
  refuses unknown_escape 'KEY=secret\x' 1
  refuses no_assignment $'OTHER=a\nsecret' 2
  refuses no_name '=secret' 1
}

test_environment() {
  printf 'KEY=file\n' >"$keys"
  check a_set_variable_wins shell "$(KEY=shell "$run" printenv KEY 2>&1)"
  check an_empty_variable_wins '' "$(KEY='' "$run" printenv KEY 2>&1)"
  printf 'KEY=file\nOTHER=${KEY}\n' >"$keys"
  check a_set_variable_is_substituted shell "$(KEY=shell "$run" printenv OTHER 2>&1)"
  check arguments_stay_whole $'a b\n*' "$("$run" printf '%s\n' 'a b' '*' 2>&1)"
  "$run" sh -c 'exit 7'
  check exit_code_of_the_command 7 $?
}

test_places() {
  printf 'KEY=beside\n' >"$keys"
  check beside_the_script beside "$(cd "$work/elsewhere" && "$run" printenv KEY 2>&1)"
  ln -s "$run" "$work/elsewhere/linked.sh"
  check beside_the_script_through_a_link beside "$(cd / && "$work/elsewhere/linked.sh" printenv KEY 2>&1)"
  printf '#!/bin/sh\necho "trader $* $KEY"\n' >"$work/clone/target/release/dqn-trader"
  chmod +x "$work/clone/target/release/dqn-trader"
  check finds_the_program 'trader --mode single beside' "$("$run" dqn-trader --mode single 2>&1)"
  if command -v mpirun >/dev/null; then
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    check left_of_mpirun $'trader  beside\ntrader  beside' "$("$run" mpirun -n 2 dqn-trader 2>&1)"
    check right_of_mpirun $'trader  beside\ntrader  beside' "$(mpirun -n 2 "$run" dqn-trader 2>&1)"
  fi
  mv "$work/clone/.cloudkeys" "$work/elsewhere/"
  check in_the_current_folder beside "$(cd "$work/elsewhere" && "$run" printenv KEY 2>&1)"
}

test_no_file() { # after test_places: no file beside the script any more
  check without_a_file 'trader --data bars ' "$(cd / && "$run" dqn-trader --data bars 2>&1)"
  check keys_of_the_environment 'trader  shell' "$(cd / && KEY=shell "$run" dqn-trader 2>&1)"
}

test_mistakes() {
  local output status=0
  mkdir "$work/clone/.cloudkeys"
  printf 'no assignment\n' >"$keys"
  output=$(OMPI_COMM_WORLD_RANK=3 "$run" dqn-trader 2>&1) || status=$?
  check other_ranks_are_silent "2 " "$status $output"
  status=0
  output=$("$run" 2>&1) || status=$?
  check no_command "2 error: no command given; usage: ./run_with_env.sh dqn-trader --mode single" "$status $output"
}

printf '\nrunning tests of run_with_env.sh\n'
test_values
test_lines
test_environment
test_places
test_no_file
test_mistakes
[ $failed -eq 0 ] && verdict=ok || verdict=FAILED
printf '\ntest result: %s. %d passed; %d failed; 0 ignored\n' "$verdict" $passed $failed
[ $failed -eq 0 ]
