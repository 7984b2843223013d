use super::*;

fn read(body: Value) -> Result<ModelReply, ReplyError> {
    ModelReply::read(body.to_string().as_bytes(), 3)
}

fn reply(message: Value) -> ModelReply {
    read(json!({ "choices": [{ "message": message }] })).unwrap()
}

#[test]
fn all_formats_of_answers_are_parsed() {
    let usual = read(json!({
        "choices": [{ "message": { "role": "assistant", "content": null, "tool_calls": [
            { "id": "a", "function": { "name": "buy", "arguments": "{\"symbol\": \"SPY\"}" } },
            { "id": null, "function": { "name": "sell", "arguments": { "amount": 2 } } },
            { "id": 7, "function": { "name": "buy", "arguments": "{\"symbol\"" } },
            { "id": "a", "function": { "name": "finish" } },
            { "id": "", "name": "buy", "arguments": "[1]" },
            "nonsense",
        ] } }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 },
    }))
    .unwrap();
    assert_eq!(usual.usage, Usage { prompt_tokens: 7, completion_tokens: 5 });
    let names: Vec<&str> = usual.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["buy", "sell", "buy", "finish", "buy", ""]);
    let ids: Vec<&str> = usual.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["a", "c00030001", "7", "c00030003", "c00030004", "c00030005"]);
    assert_eq!(usual.calls[0].arguments, Ok(json!({ "symbol": "SPY" })));
    assert_eq!(usual.calls[1].arguments, Ok(json!({ "amount": 2 })));
    assert!(usual.calls[2].arguments.is_err() && usual.calls[4].arguments.is_err());
    assert_eq!(usual.calls[3].arguments, Ok(json!({})));
    // What is sent back can be parsed again.
    let calls = usual.message()["tool_calls"].as_array().unwrap().clone();
    for (call, id) in calls.iter().zip(ids) {
        let arguments = call["function"]["arguments"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(arguments).unwrap().is_object());
        assert_eq!((&call["id"], &call["type"]), (&json!(id), &json!("function")));
        assert!(!call["function"]["name"].as_str().unwrap().is_empty());
    }
    let parts = json!([{ "type": "text", "text": "one " }, { "type": "text", "text": "two" }]);
    let plain = reply(json!({ "content": parts }));
    assert_eq!((plain.content.as_str(), plain.calls.len()), ("one two", 0));
    assert_eq!(plain.message(), json!({ "role": "assistant", "content": parts }));
}

/// Fields that only one endpoint has, and without which it refuses the conversation.
#[test]
fn the_message_goes_back_as_it_came() {
    let arguments = r#"{ "symbol":"SPY" , "amount":1 }"#;
    let came = json!({
        "role": "assistant", "content": null, "reasoning_content": "I think.",
        "reasoning_details": [{ "type": "reasoning.encrypted", "data": "x" }],
        "tool_calls": [{
            "id": "a", "type": "function", "extra_content": { "google": { "signature": "s" } },
            "function": { "name": "buy", "arguments": arguments },
        }],
    });
    assert_eq!(reply(came.clone()).message(), came);
    // What is nothing is left out: older servers refuse it.
    let mut more = came.clone();
    more["refusal"] = Value::Null;
    more["annotations"] = json!([]);
    more["function_call"] = Value::Null;
    assert_eq!(reply(more).message(), came);
    let twice = Value::String(arguments.into()).to_string();
    let mut double = came.clone();
    double["tool_calls"][0]["function"] = json!({ "name": "functions.buy", "arguments": twice });
    let function = reply(double).message()["tool_calls"][0]["function"].clone();
    let expected = json!({ "name": "buy", "arguments": r#"{"amount":1,"symbol":"SPY"}"# });
    assert_eq!(function, expected);
}

#[test]
fn an_answer_without_words_is_not_sent_back_empty() {
    for message in [json!({ "content": "" }), json!({ "content": null }), json!({ "content": [] })]
    {
        assert_eq!(reply(message).message(), json!({ "role": "assistant", "content": NO_WORDS }));
    }
    let thought = json!({ "content": " ", "reasoning_content": "Hm.", "tool_calls": [] });
    let expected = json!({ "role": "assistant", "content": NO_WORDS, "reasoning_content": "Hm." });
    assert_eq!(reply(thought).message(), expected);
}

#[test]
fn results_go_where_the_calls_came_from() {
    let results = [json!({ "cash": 1 })];
    let text = r#"{"name": "get_positions", "arguments": {}}"#;
    let in_text = reply(json!({ "content": text }));
    assert_eq!(in_text.message()["content"], text);
    let told = json!([{ "role": "user", "content": "get_positions: {\"cash\":1}" }]);
    assert_eq!(Value::from(in_text.results(&results)), told);
    let function = json!({ "name": "get_positions", "arguments": "" });
    let old = reply(json!({ "content": null, "function_call": function }));
    assert_eq!(old.results(&results)[0]["role"], "function");
    assert_eq!(old.message()["function_call"]["arguments"], "{}");
    let unread = reply(json!({ "content": "<tool_call>{'name': 'buy'}</tool_call>" }));
    assert!(unread.has_unread_call());
}

#[test]
fn error_responses_are_distinguished() {
    for body in [json!({}), json!([]), json!({ "choices": [] }), json!({ "choices": [{}] })] {
        assert!(matches!(read(body.clone()), Err(ReplyError::Broken(_))), "{body}");
    }
    assert!(matches!(ModelReply::read(b"<html>", 0), Err(ReplyError::Broken(_))));
    let whole = json!({ "choices": [{ "message": { "content": "a" } }] }).to_string();
    for before in ["\n\n\n  \n", "\u{feff}", ""] {
        assert!(ModelReply::read(format!("{before}{whole}").as_bytes(), 0).is_ok(), "{before:?}");
    }
    for body in [
        json!({ "error": { "message": "no", "code": 429 } }),
        json!({ "choices": [{ "error": { "message": "no", "code": 429 } }] }),
        json!({ "choices": [], "error": { "message": "no", "code": "429" } }),
    ] {
        let Err(ReplyError::Refused(said)) = read(body.clone()) else { panic!("{body}") };
        assert_eq!((said.words.as_str(), said.status), ("no", Some(429)), "{body}");
    }
}
