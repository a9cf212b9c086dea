#include "client/web_site.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

/// What a visitor loads, all of it, uncompressed.
constexpr std::size_t kPageBytesMax = 150 * 1000;

net::HttpRequest get(std::string path, const net::HttpHeaders& headers = {}) {
  net::HttpRequest out;
  out.method = "GET";
  out.path = std::move(path);
  out.headers = headers;
  return out;
}

TEST(WebSite, ServesItsFilesUnderAStrictPolicy) {
  for (const WebFile& file : web_files()) {
    const auto response = web_response(get(std::string(file.path)));
    ASSERT_TRUE(response) << file.path;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, file.bytes);
    EXPECT_EQ(response->headers.find("Content-Type"), file.type);
    EXPECT_EQ(response->headers.find("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(response->headers.find("Referrer-Policy"), "no-referrer");
    const std::string policy(response->headers.find("Content-Security-Policy").value_or(""));
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    for (const char* part : {"default-src 'none'", "script-src 'self'", "connect-src 'self'",
                             "frame-ancestors 'none'", "require-trusted-types-for 'script'"}) {
      EXPECT_NE(policy.find(part), std::string::npos) << part;
    }
  }
  const auto root = web_response(get("/"));
  ASSERT_TRUE(root);
  EXPECT_TRUE(root->body.starts_with("<!doctype html>"));
}

TEST(WebSite, SaysNotModifiedToABrowserThatHasTheFile) {
  const auto first = web_response(get("/app.js"));
  ASSERT_TRUE(first);
  const std::string etag(first->headers.find("ETag").value_or(""));
  ASSERT_EQ(etag.size(), 34U);
  const auto again = web_response(get("/app.js", {{"If-None-Match", etag}}));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->status, 304);
  EXPECT_TRUE(again->body.empty());
  EXPECT_TRUE(again->headers.find("Content-Security-Policy"));
  EXPECT_EQ(web_response(get("/app.js", {{"If-None-Match", "\"other\""}}))->status, 200);
}

TEST(WebSite, HasNothingElse) {
  for (const char* path : {"/app", "/../app.js", "//app.js", "/README.md", "", "/v1/models"}) {
    EXPECT_FALSE(web_response(get(path))) << path;
  }
  net::HttpRequest post = get("/");
  post.method = "POST";
  EXPECT_FALSE(web_response(post));
}

TEST(WebSite, IsLight) {
  std::size_t sum = 0;
  for (const WebFile& file : web_files()) sum += file.bytes.size();
  EXPECT_GT(sum, 10'000U);
  EXPECT_LE(sum, kPageBytesMax);
}

}  // namespace
}  // namespace nostril::client
