#include "node/form_body.h"

#include "node/engine_request.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace nostril::node {
namespace {

std::string part(const std::string& headers, const std::string& content,
                 const std::string& boundary = "x") {
  return "--" + boundary + "\r\n" + headers + "\r\n\r\n" + content + "\r\n";
}

std::string field(const std::string& name, const std::string& content) {
  return part("Content-Disposition: form-data; name=\"" + name + "\"", content);
}

std::string file(const std::string& name, const std::string& content) {
  return part("Content-Disposition: form-data; name=\"" + name +
                  "\"; filename=\"a.wav\"\r\nContent-Type: audio/wav",
              content);
}

constexpr const char* kEnd = "--x--\r\n";

TEST(FormBody, KeepsEveryByteOfEachPart) {
  const std::string sound("RIFF\0\r\n\r\n--y --x?\xff\n", 19);
  const std::string body = field("model", "whisper") + file("file", sound) + kEnd;
  const auto form = parse_form_body(body);
  ASSERT_TRUE(form);
  EXPECT_EQ(form->boundary, "x");
  EXPECT_EQ(form->content_type(), "multipart/form-data; boundary=\"x\"");
  ASSERT_EQ(form->parts.size(), 2U);
  EXPECT_EQ(form->parts[0].name, "model");
  EXPECT_EQ(form->parts[0].content, "whisper");
  EXPECT_FALSE(form->parts[0].is_file);
  EXPECT_EQ(form->parts[1].name, "file");
  EXPECT_EQ(form->parts[1].content, sound);
  EXPECT_TRUE(form->parts[1].is_file);
}

TEST(FormBody, RefusesWhatReadersCouldTakeDifferently) {
  const std::string good = field("model", "m");
  ASSERT_TRUE(parse_form_body(good + kEnd));
  ASSERT_TRUE(parse_form_body(good + "--x--"));
  const std::vector<std::string> bad = {
      "",
      "--",
      "--x\r\n",
      "{\"model\":\"m\"}",
      good,  // never ends
      "preamble\r\n" + good + kEnd,
      good + kEnd + "epilogue",
      good + "--x-- \r\n",
      good + "--x \r\n",
      "--\r\n",
      part("Content-Disposition: form-data; name=\"model\"", "m", "a b") + "--a b--",
      part("Content-Disposition: form-data; name=\"model\"", "m", std::string(71, 'b')) + "--" +
          std::string(71, 'b') + "--",
      part("Content-Disposition: form-data", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"\"", "m") + kEnd,
      part("Content-Disposition: form-data; name=model", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"mo\\\"del\"", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"model\"; name=\"other\"", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"model\"; filename*=UTF-8''x", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"a\"\r\n"
           "Content-Disposition: form-data; name=\"model\"",
           "m") +
          kEnd,
      part("Content-Type: text/plain", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
           "bQ==") +
          kEnd,
      part("Content-Disposition: form-data; name=\"model\"\r\n folded", "m") + kEnd,
      part("Content-Disposition: form-data; name=\"model\"\r\nContent-Type: " +
               std::string(2'100, 't'),
           "m") +
          kEnd,
  };
  for (const std::string& body : bad) EXPECT_FALSE(parse_form_body(body)) << body;
}

TEST(FormBody, HasNoMoreThan64Parts) {
  std::string body;
  for (int i = 0; i < 63; ++i) body += field("a[]", "");
  EXPECT_TRUE(parse_form_body(body + field("b", "") + kEnd));
  EXPECT_FALSE(parse_form_body(body + field("b", "") + field("c", "") + kEnd));
}

class FormRequest : public ::testing::Test {
 protected:
  Result<EngineRequest, RequestError> prepare(const std::string& body) const {
    RequestRules rules;
    rules.model = "whisper";
    rules.paths = paths_;
    return prepare_request("/v1/audio/transcriptions", body, rules);
  }

  const std::array<std::string, 1> paths_ = {"/v1/audio/transcriptions"};
};

TEST_F(FormRequest, PassesAsItCameButForWhatReachesIntoTheEngine) {
  const std::string kept = field("model", "whisper") + field("language", "de") +
                           field("timestamp_granularities[]", "word") +
                           field("timestamp_granularities[]", "segment") + file("file", "RIFF");
  const auto out = prepare(kept + field("vllm_xargs", "{}") + field("priority", "9") + kEnd);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->body, kept + kEnd);
  EXPECT_EQ(out->content_type, "multipart/form-data; boundary=\"x\"");
  EXPECT_FALSE(out->stream);
}

TEST_F(FormRequest, RefusesOtherModelsStreamsDoubledFieldsAndForeignFiles) {
  const std::string sound = file("file", "RIFF");
  const auto error_of = [&](const std::string& fields) {
    const auto out = prepare(fields + sound + kEnd);
    EXPECT_FALSE(out) << fields;
    return out ? RequestError::NotJson : out.error();
  };
  const std::string model = field("model", "whisper");
  EXPECT_EQ(error_of(field("model", "other")), RequestError::UnknownModel);
  EXPECT_EQ(error_of(file("model", "whisper")), RequestError::UnknownModel);
  EXPECT_EQ(error_of(field("prompt", "x")), RequestError::UnknownModel);
  EXPECT_EQ(error_of(model + field("model", "other")), RequestError::NotAForm);
  EXPECT_EQ(error_of(model + field("stream", "perhaps")), RequestError::BadField);
  EXPECT_EQ(error_of(model + field("image", "http://10.0.0.1/a.png")), RequestError::ForeignMedia);
  EXPECT_EQ(error_of(R"({"model":"whisper"})"), RequestError::NotAForm);
  EXPECT_TRUE(prepare(model + field("stream", "false") + sound + kEnd));
  const auto streamed = prepare(model + field("stream", "true") + sound + kEnd);
  EXPECT_TRUE(streamed && streamed->stream) << "a transcript may come piece by piece";
  RequestRules closed;
  closed.model = "whisper";
  EXPECT_EQ(prepare_request("/v1/audio/transcriptions", model + sound + kEnd, closed).error(),
            RequestError::PathNotAllowed)
      << "what no engine counts is open only where the operator says so";
}

}  // namespace
}  // namespace nostril::node
