// JSON that parsers get wrong: [name, text or bytes]. y_: RFC 8259 allows it; n_: it does not; i_: it leaves it open, or it is a
// matter of size. Made here; the public suite, where it is at hand, is run beside it.
const bytes = (...list) => Buffer.from(list);
const between = (before, inner, after) => Buffer.concat([Buffer.from(before), inner, Buffer.from(after)]);

const numbers = {
  y: ["0", "-0", "1", "-1", "12", "0.5", "-0.5", "1.0", "1e1", "1E1", "1e+1", "1e-1", "0e0", "0e1", "1.5e300", "123456789012345678", "-0.0", "1e00", "0.000001"],
  n: ["+1", "01", "-01", "00", "1.", ".5", "-.5", "1.e1", "1e", "1e+", "1e-", "0x1", "1_000", "1 000", "Infinity", "-Infinity", "NaN", "-NaN", "inf", "--1", "-", "- 1", "1e1.5", "1e1e1", "1.2.3", "0b1", "0o7", "١", "1f", "1n", "²", "-foo", "1+2", "0.e1", "9.e+", "2.e3", "1eE2", "1e ", "ı"],
  i: ["1e400", "-1e400", "1e-400", "123456789012345678901234567890", "-9223372036854775809", "0.1e999999", `1${"0".repeat(400)}`, `0.${"1".repeat(400)}`, `1e${"9".repeat(50)}`],
};
const strings = {
  y: ['""', '"a"', '" "', '"\\""', '"\\\\"', '"\\/"', '"\\b\\f\\n\\r\\t"', '"\\u0041"', '"\\u00e9"', '"\\u00E9"', '"\\ud83e\\udd8a"', '"\\uD83E\\uDD8A"', '"\\u0001"', '"\\u001f"', '"\\u007f"', '"\u007f"', '"\\u2028"', '"\u2028\u2029"', '"é"', '"🦊"', '"\\uffff"', '"\\ufeff"', '"\ufeff"', '"/"',
    '"\\u005c"', '"\\u0022"', '"a\\u0000b"', '"\\u0000"', '"[]{}:,"', '"null"', '"\\\\u0041"', '"\\\\\\""', `"${"x".repeat(64)}"`, '"\u{10ffff}"'],
  n: ['"', '"a', 'a"', "'a'", "a", '"\\"', '"\\x41"', '"\\a"', '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"', '"\\U0041"', '"\\u{41}"', '"\\u 041"', '"\\0"', '"\\\u0000"', '"\\é"', '"\\ud83e\\u"', '"\\ud83e\\u12"', '"\t"', '"\n"', '"\r"', '"\u0000"', '"\u0001"', '"\u001f"', '"\b"', '"a"b"', '"a" "b"', '"\\', '"\\\\\\"', '"a\\', "`a`", "“a”", '"\\u00e"', '"\\-"', '"\\ "', '"a\nb"'],
  i: ['"\\ud800"', '"\\udc00"', '"\\udc00\\ud800"', '"\\ud800\\ud800"', '"\\ud83e"', '"\\ud83ex"', '"\\ud83e\\n"', '"\\ud83e\\u0041"', '"x\\udfff"', `"${"y".repeat(3_000)}"`],
};
const structures = {
  y: ["null", "true", "false", "[]", "{}", "[[]]", "[{}]", "[1]", "[1,2]", "[ ]", "{ }", " [] ", "\t[]\n", "\r\n[]", "[null]", '{"a":1}', '{"":0}', '{"a":{"b":[]}}', '{"a":1,"b":2}', '[1\n,2]', '{"\\u0061":1}', '{"a":1,"a":2}', '{"__proto__":{}}', '{"a":[{}]}', "[true,false,null]", '["\\u0000"]'],
  n: ["", " ", "[", "]", "{", "}", "[]]", "[[]", "{}}", "{{}}", "[}", "{]", "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "[1;2]", "[1:2]", '{"a"}', '{"a":}', '{:1}', '{"a" 1}', '{"a"::1}', '{"a":1,}', '{,"a":1}', '{"a":1 "b":2}', '{"a":1;"b":2}', "{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{[]:1}", '{"a":1}x', "[]x", "[] []", "[]{}", "[],", ",[]", "1 2", "nul", "nulll", "NULL", "Null", "True", "FALSE", "tru", "truee", "undefined", "None", "[1", "[1,", '["a', '["a"', '{"a', '{"a"', '{"a":', '{"a":1', "[tru]", "[nul]", "*", "@", "[*]", "<null>", "[<null>]",
    "// x\n[]", "/* x */[]", "[]//x", "[/**/1]", "# x\n[]", "\u00a0[]", "[\u00a01]", "\u2028[]", "\u3000[]", "\u000b[]", "\f[]", "[\u000b1]", "\u0000[]", "[]\u0000", "[\u00001]", "\u2060[]", "[\\n]", "\\u005b]", "\u{1f98a}", "é", "[\"a\",\n4\n,1,", "[1]]", "{\"a\":\"b\"}#", "(1)", "=[]", "[...]", "[1,2,3,4", "\"\" \"\"", "[\"\"", "[--1]", "{\"a\":/*x*/1}", "[1\n,1\n,1", "{\"a\":1,,\"b\":2}", "[\"x\"],[\"y\"]", "{\"x\":true,}"],
  i: ["\ufeff[]", "\ufeff{}"],
};
const binary = {
  n: [bytes(0x22, 0xff, 0x22), bytes(0x22, 0xc3, 0x22), bytes(0x22, 0xed, 0xa0, 0x80, 0x22), bytes(0x22, 0xc0, 0x80, 0x22), bytes(0x5b, 0xff, 0x5d), bytes(0xfe, 0xff, 0x00, 0x5b, 0x00, 0x5d), bytes(0xff, 0xfe, 0x5b, 0x00, 0x5d, 0x00), bytes(0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d), bytes(0xef, 0xbb), bytes(0x31, 0x80), bytes(0x22, 0xf4, 0x90, 0x80, 0x80, 0x22)],
};

function* numbered(kind, texts) {
  for (const [verdict, list] of Object.entries(texts)) {
    for (const [i, text] of list.entries()) yield [`${verdict}_${kind}_${i}`, Buffer.from(text)];
  }
}

/** Everything above, also inside an array and as an object's value; and what is about depth and size. */
export function* json_cases() {
  for (const [kind, texts] of Object.entries({ number: numbers, string: strings, structure: structures, binary })) {
    yield* numbered(kind, texts);
    for (const [name, text] of numbered(kind, texts)) {
      // An empty or blank text, or one with its own commas, is another thing inside an array.
      const is_alone = kind === "structure" && name.startsWith("n_");
      if (is_alone || name.startsWith("i_structure") || text.toString().trim() === "") continue;
      yield [`${name}_in_array`, between("[", text, "]")];
      yield [`${name}_in_object`, between('{"a":', text, "}")];
    }
  }
  for (const depth of [2, 7, 8, 9, 63, 64, 65, 500, 1_024, 1_025, 5_000]) {
    yield [`y_depth_array_${depth}`, Buffer.from("[".repeat(depth) + "]".repeat(depth))];
    yield [`y_depth_object_${depth}`, Buffer.from('{"a":'.repeat(depth) + "1" + "}".repeat(depth))];
    yield [`n_depth_open_array_${depth}`, Buffer.from("[".repeat(depth))];
    yield [`n_depth_open_object_${depth}`, Buffer.from('{"a":'.repeat(depth))];
    yield [`n_depth_crossed_${depth}`, Buffer.from("[{".repeat(depth) + "]}".repeat(depth))];
  }
  yield ["n_depth_100000", Buffer.from("[".repeat(100_000))];
  yield ["y_depth_100000_closed", Buffer.from("[".repeat(100_000) + "]".repeat(100_000))];
  yield ["n_depth_objects_60000", Buffer.from('{"":'.repeat(60_000))];
  yield ["y_wide_array", Buffer.from(`[${"1,".repeat(60_000)}1]`)];
  yield ["y_wide_object", Buffer.from(`{${Array.from({ length: 10_000 }, (_, i) => `"k${i}":${i}`).join(",")}}`)];
  yield ["y_blanks", Buffer.from(`${" ".repeat(100_000)}[]`)];
  yield ["y_backslashes", Buffer.from(`"${"\\\\".repeat(50_000)}"`)];
  yield ["n_quotes", Buffer.from('"'.repeat(99_999))];
}
