use serde_json::json;

use super::*;

/// As `name {arguments}`.
fn told(text: &str) -> Vec<String> {
    let one = |call: TextCall| match call.arguments {
        Ok(arguments) => format!("{} {arguments}", call.name),
        Err(what) => format!("{} {what}", call.name),
    };
    find(text).into_iter().map(one).collect()
}

const BUY: &str = r#"{"symbol": "SPY", "amount": 3}"#;

/// Each family's form of the same two calls.
#[test]
fn every_dialect_buys_and_finishes() {
    let named = |key: &str| format!(r#"{{"name": "buy", "{key}": {BUY}}}"#);
    let (hermes, llama) = (named("arguments"), named("parameters"));
    let finish = r#"{"name": "finish", "arguments": {}}"#;
    for text in [
        format!("Well.\n<tool_call>\n{hermes}\n</tool_call>\n<tool_call>{finish}</tool_call>"),
        format!("<tool_call>[{hermes}, {finish}]</tool_call>"),
        format!("<function=buy>{BUY}</function><function=finish>{{}}</function>"),
        format!("<function=buy{BUY}</function> <function=finish></function>"),
        format!("<function(buy){BUY}</function><function(finish){{}}</function>"),
        format!("[TOOL_CALLS] [{hermes}, {finish}]"),
        format!("[TOOL_CALLS]buy[ARGS]{BUY}[TOOL_CALLS]finish[ARGS]{{}}"),
        format!("[TOOL_CALLS]buy[CALL_ID]xY3[ARGS]{BUY}[TOOL_CALLS]finish[CALL_ID]xY4[ARGS]{{}}"),
        format!("[TOOL_CALLS]buy{BUY}[TOOL_CALLS]finish{{}}"),
        format!("<|python_tag|>{llama}; {finish}"),
        format!("I buy.\n```json\n{hermes}\n```\nand\n```json\n{finish}\n```"),
        format!("```json\n[{hermes}, {finish}]\n```"),
        format!("{llama}\n{finish}"),
        format!(r#"{{"tool_calls": [{{"type": "function", "function": {hermes}}}, {finish}]}}"#),
        format!(r#"{{"tool": "buy", "args": {BUY}}} {{"tool": "finish"}}"#),
        r#"{"name": "buy", "symbol": "SPY", "amount": 3} {"name": "finish"}"#.into(),
        format!(
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>buy\n```json\n{BUY}\n```\
             <｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>finish\n```json\n{{}}\n```\
             <｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        format!(
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>buy<｜tool▁sep｜>{BUY}<｜tool▁call▁end｜>\
             <｜tool▁call▁begin｜>finish<｜tool▁sep｜>{{}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        format!(
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.buy:0\
             <|tool_call_argument_begin|>{BUY}<|tool_call_end|><|tool_call_begin|>functions.finish:1\
             <|tool_call_argument_begin|>{{}}<|tool_call_end|><|tool_calls_section_end|>"
        ),
        format!(
            "<|channel|>commentary to=functions.buy <|constrain|>json<|message|>{BUY}<|call|>\
             <|channel|>commentary to=functions.finish <|constrain|>json<|message|>{{}}<|call|>"
        ),
        "<tool_call>\n<function=buy>\n<parameter=symbol>\nSPY\n</parameter>\n<parameter=amount>\n3\n\
         </parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=finish>\n</function>\n\
         </tool_call>"
            .into(),
        "<tool_call>buy\n<arg_key>symbol</arg_key>\n<arg_value>SPY</arg_value>\n<arg_key>amount\
         </arg_key>\n<arg_value>3</arg_value>\n</tool_call><tool_call>finish\n</tool_call>"
            .into(),
        "<function_calls>\n<invoke name=\"buy\">\n<parameter name=\"symbol\">SPY</parameter>\n\
         <parameter name=\"amount\">3</parameter>\n</invoke>\n<invoke name=\"finish\">\n</invoke>\n\
         </function_calls>"
            .into(),
        "<｜DSML｜function_calls><｜DSML｜invoke name=\"buy\"><｜DSML｜parameter name=\"symbol\" \
         string=\"true\">SPY</｜DSML｜parameter><｜DSML｜parameter name=\"amount\" string=\"false\">3\
         </｜DSML｜parameter></｜DSML｜invoke><｜DSML｜invoke name=\"finish\"></｜DSML｜invoke>\
         </｜DSML｜function_calls>"
            .into(),
        "[buy(symbol=\"SPY\", amount=3), finish()]".into(),
        "<|python_tag|>buy.call(symbol=\"SPY\", amount=3)\nfinish.call()".into(),
        "Let me.\n```tool_code\nprint(buy('SPY', 3))\nfinish()\n```".into(),
        format!("Thought: up.\nAction: buy\nAction Input: {BUY}\nAction: finish\nAction Input: {{}}"),
        format!("<|tool_call|>[{hermes}, {finish}]<|/tool_call|>"),
        format!("<think>Should I {{\"name\": \"sell\", \"arguments\": {{}}}}?</think>{hermes}{finish}"),
    ] {
        let calls = find(&text);
        let names: Vec<&str> = calls.iter().filter_map(|call| tool_name(&call.name)).collect();
        assert_eq!(names, ["buy", "finish"], "{text}\n{calls:?}");
        let bought = calls[0].arguments.clone().unwrap();
        let bought = arguments::Arguments(&bought);
        assert_eq!((bought.symbols().unwrap(), bought.amount()), (vec!["SPY".into()], Ok(3)), "{text}");
        assert_eq!(calls[1].arguments, Ok(json!({})), "{text}");
    }
}

#[test]
fn what_is_no_call_is_left_alone() {
    for text in [
        "I would buy SPY, but [so far] {nothing} moves.",
        "buy",
        "I could buy(some) shares.",
        r#"The account: {"cash": 100.0, "orders": [{"action": "buy", "symbol": "SPY", "amount": 3}]}"#,
        r#"{"type": "function", "function": {"name": "buy", "description": "Order",
            "parameters": {"type": "object", "properties": {"symbol": {"type": "string"}}}}}"#,
        r#"{"symbol": "SPY", "amount": 3}"#,
        r#"<think>{"name": "buy", "arguments": {}}"#,
        "<FINISH_SIGNAL>",
        "",
    ] {
        assert_eq!(told(text), [""; 0], "{text}");
    }
}

#[test]
fn a_call_with_an_error_is_still_a_call() {
    let torn =
        r#"<tool_call>{"name": "buy", "arguments": {"symbol": "SPY", "amount": 3}</tool_call>"#;
    assert_eq!(told(torn), [r#"buy {"amount":3,"symbol":"SPY"}"#]);
    let other = r#"{"name": "short", "arguments": {"symbol": "SPY"}}"#;
    assert_eq!(told(other), [r#"short {"symbol":"SPY"}"#]);
    let quotes = told("<function=buy>{'symbol': 'SPY'}</function>");
    assert!(quotes[0].contains("are not JSON"), "{quotes:?}");
    assert!(is_call_like("<tool_call>{'name': 'buy'}</tool_call>") && !is_call_like("I wait."));
}

/// Texts made to be slow: of two lengths, the longer takes about as many times the work, and beyond
/// [`MOST_BYTES`] there is no more of it.
#[test]
fn the_work_grows_with_the_text_and_no_faster() {
    for part in
        ["{", "[", "{\"a\":", "<tool_call>", "<function=buy>", "buy(", "[\"", "<｜tool▁sep｜>"]
    {
        let work = |bytes: usize| work::of(|| drop(find(&part.repeat(bytes / part.len()))));
        let [quarter, whole, beyond] = [MOST_BYTES / 4, MOST_BYTES, 1 << 20].map(work);
        assert!(whole <= 5 * quarter && whole <= 200 * MOST_BYTES, "{part}: {quarter}, {whole}");
        assert!(beyond <= whole + whole / 10 + 100, "{part}: {whole}, {beyond}");
    }
}
