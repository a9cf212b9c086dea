// What is not chat over the HTTPS face: uploads, sounds, pictures, ranks, numbers. Every byte
// passes, what was used is stated, what is not open stays shut.
#include "node/endpoint.h"
#include "tests/node/https_world.h"
#include "tests/support/scripted_engine.h"

#include "face/legacy_signature.h"
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril {
namespace {

using test::EngineAnswer;
using test::Reply;

EngineAnswer whole(const std::string& body, const std::string& type = "application/json") {
  EngineAnswer out;
  out.content_type = type;
  for (std::size_t at = 0; at < body.size(); at += 7) out.pieces.push_back(body.substr(at, 7));
  return out;
}

const net::HttpHeaders kForm = {{"Content-Type", "multipart/form-data; boundary=x"}};

/// Every byte there is, and what looks like a delimiter.
std::string all_bytes() {
  std::string out("RIFF");
  for (int i = 0; i < 256; ++i) out += static_cast<char>(i);
  return out + "\r\n--y\r\n--";
}

std::string part(const std::string& name, const std::string& content) {
  return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content + "\r\n";
}

std::string upload(const std::string& file_name, const std::string& content,
                   const std::string& more = {}) {
  return part("model", std::string(test::kTestModel)) + more +
         "--x\r\nContent-Disposition: form-data; name=\"" + file_name +
         "\"; filename=\"f\"\r\nContent-Type: application/octet-stream\r\n\r\n" + content +
         "\r\n--x--\r\n";
}

class HttpsForms : public test::HttpsWorld {
 protected:
  void serve(std::vector<std::string> paths, std::int64_t body_bytes_max = 1 << 20) {
    start([&](node::NodeConfig& config) {
      config.engine.paths = paths;
      config.https.body_bytes_max = body_bytes_max;
    });
    ASSERT_TRUE(serving());
  }

  /// The engine's bytes arrive, and the record states what the engine counted.
  void expect_passed(const std::string& path, const std::string& body, const EngineAnswer& answer,
                     const Usage& usage, const net::HttpHeaders& headers = {}) {
    const std::size_t before = records().size();
    world_->engine.set_answer(answer);
    const auto reply = get("POST", path, body, headers);
    EXPECT_EQ(reply->status, 200) << path << reply->body;
    EXPECT_EQ(reply->body, answer.body()) << path;
    EXPECT_EQ(reply->headers.find("Content-Type"), answer.content_type) << path;
    bool found = false;
    for (const ResponseRecord& record : records()) {
      if (record.request_hash != sha256(body) || record.response_hash != sha256(reply->body)) {
        continue;
      }
      found = true;
      EXPECT_EQ(record.status, RecordStatus::Ok) << path;
      EXPECT_EQ(record.usage, usage) << path;
    }
    EXPECT_TRUE(found) << path << " has no record";
    EXPECT_EQ(records().size(), before + 1);
  }
};

TEST_F(HttpsForms, SoundsAreWrittenDown) {
  serve({"/v1/audio/transcriptions", "/v1/audio/translations"});
  const std::string body = upload("file", all_bytes(), part("language", "de"));
  expect_passed(
      "/v1/audio/transcriptions", body,
      whole(R"({"text":"Grüße","usage":{"type":"tokens","input_tokens":14,"output_tokens":3}})"),
      {14, 0, 3}, kForm);
  EXPECT_EQ(world_->engine.last_body(), body) << "byte for byte";
  EXPECT_EQ(world_->engine.last_headers().find("Content-Type"),
            "multipart/form-data; boundary=\"x\"");
  expect_passed("/v1/audio/translations", body, whole("1\n00:00 --> 00:01\nx\n", "text/plain"), {},
                kForm);
}

TEST_F(HttpsForms, ATranscriptIsStreamedAsTheEngineWritesIt) {
  serve({"/v1/audio/transcriptions"});
  world_->engine.set_models(R"({"data":[{"id":"test-model","owned_by":"vllm"}]})");
  const std::string body = upload("file", "sound", part("stream", "true"));
  EngineAnswer chunks;
  chunks.piece_ms = 3;
  for (const char* text : {"Guten ", "Tag"}) {
    chunks.pieces.push_back(
        std::string("data: {\"id\":\"trsc-1\",\"object\":\"transcription.chunk\",\"choices\":"
                    "[{\"delta\":{\"content\":\"") +
        text + "\"},\"finish_reason\":null}]}\n\n");
  }
  chunks.pieces.emplace_back(
      "data: {\"id\":\"trsc-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
  chunks.pieces.emplace_back(
      "data: {\"id\":\"trsc-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":25,"
      "\"completion_tokens\":2}}\n\n");
  chunks.pieces.emplace_back("data: [DONE]\n\n");
  expect_passed("/v1/audio/transcriptions", body, chunks, {25, 0, 2}, kForm);
  EXPECT_NE(world_->engine.last_body().find(part("stream_include_usage", "true")),
            std::string::npos);
  const auto signature = face::verify_chat_signature(get("GET", "/v1/signature/trsc-1")->body);
  ASSERT_TRUE(signature);
  EXPECT_EQ(signature->request, sha256(body));

  EngineAnswer events;
  events.piece_ms = 3;
  events.pieces = {
      "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Guten Tag\"}\n\n",
      "data: {\"type\":\"transcript.text.done\",\"text\":\"Guten Tag\",\"usage\":{\"type\":"
      "\"tokens\",\"input_tokens\":14,\"output_tokens\":4,\"total_tokens\":18}}\n\n"};
  expect_passed("/v1/audio/transcriptions", body, events, {14, 0, 4}, kForm);
  // Broken off, it is not whole.
  events.pieces.pop_back();
  events.end = EngineAnswer::End::Cut;
  world_->engine.set_answer(events);
  const auto cut = get("POST", "/v1/audio/transcriptions", body, kForm);
  EXPECT_NE(cut->body.find("\n\ndata: {\"error\":{"), std::string::npos);
}

TEST_F(HttpsForms, PicturesAreMadeAndChanged) {
  serve({"/v1/images/generations", "/v1/images/edits"});
  const EngineAnswer picture = whole(
      R"({"created":1,"data":[{"b64_json":"iVBORw0KGgo="}],"usage":{"input_tokens":9,"output_tokens":1056}})");
  expect_passed("/v1/images/generations", R"({"model":"test-model","prompt":"a fox"})", picture,
                {9, 0, 1056});
  const std::string body = upload("image", all_bytes(), part("prompt", "a hat"));
  expect_passed("/v1/images/edits", body, picture, {9, 0, 1056}, kForm);
  EXPECT_EQ(world_->engine.last_body(), body);
}

TEST_F(HttpsForms, AllElsePassesByteForByte) {
  serve({"/v1/responses", "/v1/rerank", "/v1/audio/speech", "/v1/embeddings"});
  EngineAnswer events;
  events.piece_ms = 2;
  events.pieces = {
      "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"id\":"
      "\"resp_1\"},\"sequence_number\":0}\r\n\r\n",
      "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
      "\"delta\":\"Hi\",\"sequence_number\":1}\n\n",
      "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":"
      "{\"id\":\"resp_1\",\"status\":\"completed\",\"usage\":{\"input_tokens\":7,"
      "\"output_tokens\":2}},\"sequence_number\":2}\n\n"};
  expect_passed("/v1/responses", R"({"model":"test-model","input":"x","stream":true})", events,
                {7, 0, 2});
  EXPECT_TRUE(face::verify_chat_signature(get("GET", "/v1/signature/resp_1")->body));
  expect_passed(
      "/v1/responses", R"({"model":"test-model","input":"y"})",
      whole(
          R"({"id":"resp_2","status":"completed","output":[],"usage":{"input_tokens":7,"output_tokens":2}})"),
      {7, 0, 2});
  expect_passed(
      "/v1/rerank", R"({"model":"test-model","query":"q","documents":["a","b"]})",
      whole(R"({"results":[{"index":1,"relevance_score":0.90}],"usage":{"total_tokens":5}})"),
      {5, 0, 0});
  // What the openai SDK asks for, unless told otherwise.
  expect_passed(
      "/v1/embeddings", R"({"model":"test-model","input":"x","encoding_format":"base64"})",
      whole(
          R"({"data":[{"object":"embedding","embedding":"AACAPwAAAEA="}],"usage":{"prompt_tokens":8}})"),
      {8, 0, 0});
  EXPECT_NE(world_->engine.last_body().find(R"("encoding_format":"base64")"), std::string::npos);
  expect_passed("/v1/audio/speech", R"({"model":"test-model","input":"hello","voice":"a"})",
                whole(all_bytes(), "audio/mpeg"), {});
}

TEST_F(HttpsForms, RefusesWhatIsNoGoodUpload) {
  serve({"/v1/audio/transcriptions", "/v1/images/edits"}, 4096);

  struct Case {
    const char* path;
    std::string body;
    int status;
  };

  const std::string other =
      part("model", "other") +
      "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\ns\r\n--x--\r\n";
  const std::vector<Case> cases{
      {"/v1/audio/transcriptions", "", 400},
      {"/v1/audio/transcriptions", R"({"model":"test-model"})", 400},
      {"/v1/audio/transcriptions", upload("file", "s").substr(0, 120), 400},
      {"/v1/audio/transcriptions", "--x\r\n" + upload("file", "s"), 400},
      {"/v1/audio/transcriptions", part("prompt", "no model") + "--x--\r\n", 400},
      {"/v1/audio/transcriptions", other, 404},
      {"/v1/audio/transcriptions", upload("file", "s", part("stream", "yes")), 400},
      {"/v1/audio/transcriptions", upload("file", std::string(4096, 's')), 413},
      {"/v1/images/edits", upload("image", "p", part("stream", "true")), 400},
      {"/v1/images/edits", upload("mask", "p", part("image", "http://10.0.0.1/")), 400},
      {"/v1/images/variations", upload("image", "p"), 404},
      {"/v1/chat/completions", test::chat("not open here", false), 404},
      {"/v1/audio/speech", R"({"model":"test-model","input":"x"})", 404},
  };
  for (const Case& one : cases) {
    const auto reply = get("POST", one.path, one.body, kForm);
    EXPECT_EQ(reply->status, one.status) << one.path << " " << reply->body;
    EXPECT_FALSE(reply->error_type().empty()) << reply->body;
  }
  EXPECT_EQ(world_->engine.asked(), 0U);
  EXPECT_TRUE(records().empty());
}

}  // namespace
}  // namespace nostril
