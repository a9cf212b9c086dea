#include "node/engine_request.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace nostril::node {
namespace {

RequestRules rules(std::string_view engine = "vllm") {
  RequestRules out;
  out.model = "m";
  out.engine = engine;
  out.output_tokens_max = 4'096;
  out.cache_salt = "salt";
  out.call_id = "call";
  return out;
}

std::string body_for(std::string_view engine, std::string_view path, const std::string& members) {
  const auto out = prepare_request(path, R"({"model":"m")" + members + "}", rules(engine));
  return out ? out->body : std::string(to_string(out.error()));
}

Result<EngineRequest, RequestError> prepare(const std::string& body) {
  return prepare_request("/v1/chat/completions", body, rules());
}

TEST(PrepareRequest, KeepsWhatItDoesNotKnowAndTheTextOfNumbers) {
  const auto out = prepare(
      R"({"model":"m","temperature":0.70,"seed":12345678901234567890,"x":{"a":[1e3,-0.0]},"tools":[]})");
  ASSERT_TRUE(out);
  EXPECT_EQ(
      out->body,
      R"({"model":"m","temperature":0.70,"seed":12345678901234567890,"x":{"a":[1e3,-0.0]},"tools":[],"max_tokens":4096,"cache_salt":"salt"})");
  EXPECT_FALSE(out->stream);
  EXPECT_EQ(out->path, "/v1/chat/completions");
}

TEST(PrepareRequest, SetsASeedOnlyWhereItIsWantedAndNoneWasAskedFor) {
  const auto with_seed = [](const std::string& body) {
    RequestRules seeded = rules();
    seeded.seed = 99;
    return prepare_request("/v1/chat/completions", body, seeded);
  };
  const auto drawn = with_seed(R"({"model":"m","seed":-1,"top_k":5})");
  ASSERT_TRUE(drawn);
  EXPECT_EQ(drawn->body,
            R"({"model":"m","top_k":5,"max_tokens":4096,"seed":99,"cache_salt":"salt"})");
  EXPECT_EQ(drawn->sampling, R"({"seed":99,"top_k":5})");
  const auto asked = with_seed(R"({"model":"m","seed":3})");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->body, R"({"model":"m","seed":3,"max_tokens":4096,"cache_salt":"salt"})");
  EXPECT_EQ(asked->sampling, R"({"seed":3})");
  EXPECT_EQ(with_seed(R"({"model":"m","seed":3.5})").error(), RequestError::BadField);
  EXPECT_EQ(prepare(R"({"model":"m","seed":3})")->sampling, "");
}

TEST(PrepareRequest, MakesAStreamEndWithItsUsage) {
  const auto plain = prepare(R"({"model":"m","stream":true})");
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->stream);
  EXPECT_EQ(
      plain->body,
      R"({"model":"m","stream":true,"max_tokens":4096,"stream_options":{"include_usage":true},"cache_salt":"salt"})");
  const auto with_options = prepare(
      R"({"model":"m","stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}})");
  ASSERT_TRUE(with_options);
  EXPECT_NE(with_options->body.find(
                R"("stream_options":{"include_obfuscation":false,"include_usage":true})"),
            std::string::npos)
      << with_options->body;
}

TEST(PrepareRequest, DropsWhatReachesIntoTheEngine) {
  const auto out = prepare(
      R"({"model":"m","id_slot":3,"slot_id":1,"cache_prompt":true,"cache_salt":"mine","priority":-9,)"
      R"("custom_logit_processor":"x","prompt_embeds":"x","kv_transfer_params":{},"n":1})");
  ASSERT_TRUE(out);
  EXPECT_EQ(out->body, R"({"model":"m","n":1,"max_tokens":4096,"cache_salt":"salt"})");
}

TEST(PrepareRequest, RefusesOtherModelsPathsAndShapes) {
  EXPECT_EQ(prepare(R"({"model":"n"})").error(), RequestError::UnknownModel);
  EXPECT_EQ(prepare(R"({"messages":[]})").error(), RequestError::UnknownModel);
  EXPECT_EQ(prepare(R"({"model":"m","model":"n"})").error(), RequestError::NotJson);
  EXPECT_EQ(prepare(R"([])").error(), RequestError::NotAnObject);
  EXPECT_EQ(prepare(R"({"model":"m")").error(), RequestError::NotJson);
  EXPECT_EQ(prepare(R"({"model":"m","stream":"yes"})").error(), RequestError::BadField);
  EXPECT_EQ(prepare(R"({"model":"m","stream":true,"stream_options":[]})").error(),
            RequestError::BadField);
  for (const std::string path : {"/v1/models", "/slots", "/v1/chat/completions/", "/metrics", ""}) {
    EXPECT_EQ(prepare_request(path, R"({"model":"m"})", rules()).error(),
              RequestError::PathNotAllowed)
        << path;
  }
}

TEST(PrepareRequest, KeepsAnAnswerWithinTheOffersLimit) {
  const std::map<std::string, std::string> cases = {
      {R"("max_tokens":5)", R"("max_tokens":5)"},
      {R"("max_tokens":5000)", R"("max_tokens":4096)"},
      {R"("max_completion_tokens":1000000)", R"("max_completion_tokens":4096)"},
      {R"("n_predict":9,"max_tokens":9000)", R"("n_predict":9,"max_tokens":4096)"},
      {R"("max_tokens":-1)", R"("max_tokens":4096)"},
      {R"("max_tokens":0)", R"("max_tokens":4096)"},
      {R"("max_tokens":null)", R"("max_tokens":4096)"},
      {R"("n":128,"max_tokens":1)", R"("n":128,"max_tokens":1)"},
  };
  for (const auto& [asked, passed] : cases) {
    const auto out = prepare(R"({"model":"m",)" + asked + "}");
    ASSERT_TRUE(out) << asked;
    EXPECT_EQ(out->body, R"({"model":"m",)" + passed + R"(,"cache_salt":"salt"})");
  }
  for (const std::string wrong :
       {R"("max_tokens":"9")", R"("max_tokens":1e9)", R"("n":129)", R"("best_of":"2")"}) {
    EXPECT_EQ(prepare(R"({"model":"m",)" + wrong + "}").error(), RequestError::BadField) << wrong;
  }
}

TEST(PrepareRequest, NullStreamMeansNone) {
  const auto out = prepare(R"({"model":"m","stream":null,"stream_options":null})");
  ASSERT_TRUE(out);
  EXPECT_FALSE(out->stream);
}

TEST(PrepareRequest, KeepsSessionsApartAsEachEngineCan) {
  const std::string chat = "/v1/chat/completions";
  const std::string asked = R"(,"max_tokens":1,"rid":"theirs","cache_salt":"theirs")";
  EXPECT_EQ(body_for("vllm", chat, asked), R"({"model":"m","max_tokens":1,"cache_salt":"salt"})");
  EXPECT_EQ(body_for("sglang", chat, asked),
            R"({"model":"m","max_tokens":1,"cache_salt":"salt","rid":"call"})");
  EXPECT_EQ(body_for("llama.cpp", chat, asked),
            R"({"model":"m","max_tokens":1,"cache_prompt":false})");
  EXPECT_EQ(body_for("ollama", chat, asked), R"({"model":"m","max_tokens":1})");
  RequestRules shared = rules("llama.cpp");
  shared.prompt_cache_shared = true;
  EXPECT_EQ(prepare_request(chat, R"({"model":"m","max_tokens":1})", shared)->body,
            R"({"model":"m","max_tokens":1})");
  EXPECT_EQ(prepare_request(chat, R"({"model":"m"})", rules("sglang"))->abort_id, "call");
  EXPECT_EQ(prepare_request(chat, R"({"model":"m"})", rules("vllm"))->abort_id, "");
}

TEST(PrepareRequest, KnowsEachInterfacesLimitAndStream) {
  EXPECT_EQ(body_for("vllm", "/v1/responses", R"(,"input":"x","store":true,"stream":true)"),
            R"({"model":"m","input":"x","stream":true,"max_output_tokens":4096,"store":false,)"
            R"("cache_salt":"salt"})");
  EXPECT_EQ(body_for("vllm", "/v1/messages", R"(,"max_tokens":9000)"),
            R"({"model":"m","max_tokens":4096,"cache_salt":"salt"})");
  EXPECT_EQ(body_for("vllm", "/v1/embeddings", R"(,"input":["a"],"encoding_format":"base64")"),
            R"({"model":"m","input":["a"],"encoding_format":"base64"})");
  EXPECT_EQ(prepare_request("/v1/embeddings", R"({"model":"m","stream":true})", rules()).error(),
            RequestError::BadField);
  EXPECT_EQ(body_for("ollama", "/api/chat",
                     R"(,"keep_alive":0,"options":{"num_ctx":9,"num_gpu":0,"top_k":3,)"
                     R"("num_predict":-1})"),
            R"({"model":"m","options":{"top_k":3,"num_predict":4096}})");
  EXPECT_EQ(body_for("ollama", "/api/generate", R"(,"options":{"num_predict":7},"template":"x")"),
            R"({"model":"m","options":{"num_predict":7}})");
  EXPECT_EQ(prepare_request("/api/chat", R"({"model":"m","options":7})", rules("ollama")).error(),
            RequestError::BadField);
  EXPECT_TRUE(prepare_request("/api/chat", R"({"model":"m"})", rules("ollama"))->stream)
      << "Ollama streams unless told otherwise";
  EXPECT_FALSE(
      prepare_request("/api/chat", R"({"model":"m","stream":false})", rules("ollama"))->stream);
}

TEST(PrepareRequest, OpensThePathsThatTheOperatorNames) {
  const std::string body = R"({"model":"m"})";
  for (const Endpoint& endpoint : endpoints()) {
    EXPECT_EQ(static_cast<bool>(prepare_request(endpoint.path, body, rules())), endpoint.by_default)
        << endpoint.path;
  }
  const std::vector<std::string> paths = {"/v1/images/generations", "/metrics"};
  RequestRules named = rules();
  named.paths = paths;
  EXPECT_TRUE(prepare_request("/v1/images/generations", body, named));
  EXPECT_FALSE(prepare_request("/v1/chat/completions", body, named));
  EXPECT_FALSE(prepare_request("/metrics", body, named)) << "a node can't meter it";
}

TEST(PrepareRequest, LetsNoEngineFetchWhatAClientNames) {
  const auto with_image = [](const std::string& url) {
    return R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":)" +
           url + "}]}]}";
  };
  const std::string data = R"({"url":"data:image/png;base64,AAAA","detail":"high"})";
  EXPECT_TRUE(prepare(with_image(data)));
  EXPECT_TRUE(prepare(with_image(R"("DATA:image/png;base64,AAAA")")));
  for (const std::string url : {"http://169.254.169.254/latest/meta-data/",
                                "https://example.com/a.png", "file:///etc/shadow", "/etc/shadow",
                                "//host/x", "AAAA", " data:x", "ftp://x", "https://data:x@host/"}) {
    const std::string quoted = "\"" + url + "\"";
    EXPECT_EQ(prepare(with_image(R"({"url":)" + quoted + "}")).error(), RequestError::ForeignMedia)
        << url;
    EXPECT_EQ(prepare(with_image(quoted)).error(), RequestError::ForeignMedia) << url;
  }
  const auto refused = [](std::string_view path, const std::string& members) {
    const auto out = prepare_request(path, R"({"model":"m",)" + members + "}", rules());
    return !out && out.error() == RequestError::ForeignMedia;
  };
  EXPECT_TRUE(refused("/v1/responses",
                      R"("input":[{"content":[{"type":"input_image","image_url":"http://a/"}]}])"));
  EXPECT_TRUE(refused("/v1/responses",
                      R"("input":[{"content":[{"type":"input_file","file_url":"http://a/"}]}])"));
  EXPECT_TRUE(refused("/v1/messages", R"("messages":[{"content":[{"type":"image","source":)"
                                      R"({"type":"url","url":"https://a/"}}]}])"));
  EXPECT_TRUE(refused("/v1/messages", R"("mcp_servers":[{"url":"https://a/"}])"));
  EXPECT_TRUE(refused("/v1/chat/completions", R"("messages":[{"content":[{"video_url":)"
                                              R"({"url":"http://a/"}}]}])"));
  EXPECT_TRUE(refused("/v1/chat/completions", R"("messages":[{"content":[{"type":"image_embeds",)"
                                              R"("image_embeds":"AAAA"}]}])"));
  EXPECT_TRUE(refused("/v1/embeddings", R"("messages":[{"content":[{"image_url":"x"}]}])"));
  EXPECT_TRUE(refused("/api/chat", R"("messages":[{"images":["http://a/"]}])"));
  EXPECT_FALSE(refused("/api/chat", R"("messages":[{"images":["iVBORw0KGgo="]}])"));
}

TEST(PrepareRequest, TakesUrlsForWordsWhereTheyAreWords) {
  EXPECT_TRUE(prepare(
      R"({"model":"m","messages":[{"role":"user","content":"look at http://a/ and file:///x"},)"
      R"({"role":"assistant","tool_calls":[{"function":{"arguments":"{\"url\":\"http://a\"}"}}]}],)"
      R"("tools":[{"type":"function","function":{"parameters":{"properties":{"url":)"
      R"({"type":"string"},"image":{"default":"http://a"}}}}}],)"
      R"("response_format":{"json_schema":{"schema":{"properties":{"url":{"const":"http://a"}}}}}})"));
}

TEST(PrepareRequest, AllowsTheHostsThatTheOperatorNames) {
  const std::vector<std::string> hosts = {"images.example"};
  RequestRules open = rules();
  open.media_hosts = hosts;
  const auto allowed = [&](const std::string& url) {
    return static_cast<bool>(prepare_request(
        "/v1/chat/completions",
        R"({"model":"m","messages":[{"content":[{"image_url":{"url":")" + url + R"("}}]}]})",
        open));
  };
  EXPECT_TRUE(allowed("https://images.example/a.png?x=1"));
  EXPECT_TRUE(allowed("https://IMAGES.example/a.png"));
  for (const std::string url : {"http://images.example/a.png", "https://images.example:8443/",
                                "https://images.example.evil/", "https://evil/images.example",
                                "https://images.example@evil/", "https://a.images.example/"}) {
    EXPECT_FALSE(allowed(url)) << url;
  }
}

TEST(PrepareRequest, RefusesWorkThatOutlivesItsRequest) {
  for (const std::string member :
       {R"("background":true)", R"("previous_response_id":"resp_1")",
        R"("conversation":{"id":"c"})", R"("tools":[{"type":"mcp","server_label":"x"}])",
        R"("tools":[{"type":"web_search"}])", R"("tools":[{"name":"untyped"}])"}) {
    const auto out = prepare_request("/v1/responses", R"({"model":"m",)" + member + "}", rules());
    ASSERT_FALSE(out) << member;
    EXPECT_EQ(out.error(), RequestError::NotSupported) << member;
  }
  EXPECT_TRUE(prepare_request("/v1/responses",
                              R"({"model":"m","background":false,"previous_response_id":null,)"
                              R"("tools":[{"type":"function","name":"f"}]})",
                              rules()));
}

TEST(PrepareRequest, LeavesOutAnEmptyListOfToolCalls) {
  const std::string asked =
      R"(,"max_tokens":1,"messages":[{"role":"assistant","content":"x","tool_calls":[]},)"
      R"({"role":"assistant","tool_calls":[{"id":"1"}]},"odd"])";
  EXPECT_EQ(body_for("vllm", "/v1/chat/completions", asked),
            R"({"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":"x"},)"
            R"({"role":"assistant","tool_calls":[{"id":"1"}]},"odd"],"cache_salt":"salt"})");
}

}  // namespace
}  // namespace nostril::node
