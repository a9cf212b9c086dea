#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril {

/// An event's tags in three flat arrays, so that a follow list of 5,000 tags is three allocations.
/// Views that it gives out live as long as the list is not changed.
class Tags {
 public:
  /// One tag: its elements, at least one.
  class View {
   public:
    [[nodiscard]] std::size_t size() const { return end_ - begin_; }

    [[nodiscard]] std::string_view operator[](std::size_t index) const {
      return tags_->element(begin_ + index);
    }

    [[nodiscard]] std::string_view name() const { return (*this)[0]; }

    /// The second element, or nothing.
    [[nodiscard]] std::optional<std::string_view> value() const {
      if (size() < 2) return std::nullopt;
      return (*this)[1];
    }

   private:
    friend class Tags;

    View(const Tags* tags, std::size_t begin, std::size_t end)
        : tags_(tags), begin_(begin), end_(end) {}

    const Tags* tags_;
    std::size_t begin_;
    std::size_t end_;
  };

  class Iterator {
   public:
    Iterator(const Tags* tags, std::size_t index) : tags_(tags), index_(index) {}

    View operator*() const { return (*tags_)[index_]; }

    Iterator& operator++() {
      ++index_;
      return *this;
    }

    bool operator==(const Iterator&) const = default;

   private:
    const Tags* tags_;
    std::size_t index_;
  };

  Tags() = default;
  Tags(std::initializer_list<std::initializer_list<std::string_view>> tags);

  /// Adds an element to the tag that is being built; finish_tag() closes it.
  void add_element(std::string_view element);
  void finish_tag();
  void add(std::initializer_list<std::string_view> tag);

  [[nodiscard]] std::size_t size() const { return tag_ends_.size(); }

  [[nodiscard]] bool empty() const { return tag_ends_.empty(); }

  [[nodiscard]] View operator[](std::size_t index) const {
    return {this, index == 0 ? 0 : tag_ends_[index - 1], tag_ends_[index]};
  }

  [[nodiscard]] Iterator begin() const { return {this, 0}; }

  [[nodiscard]] Iterator end() const { return {this, size()}; }

  /// The value of the first tag of that name, or nothing when there is none or it has no value.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;

  /// Memory that the list takes.
  [[nodiscard]] std::size_t bytes() const {
    return text_.size() + sizeof(std::uint32_t) * (element_ends_.size() + tag_ends_.size());
  }

  bool operator==(const Tags&) const = default;

 private:
  [[nodiscard]] std::string_view element(std::size_t index) const {
    const std::size_t begin = index == 0 ? 0 : element_ends_[index - 1];
    return std::string_view(text_).substr(begin, element_ends_[index] - begin);
  }

  std::string text_;                         // all elements, one after the other
  std::vector<std::uint32_t> element_ends_;  // in text_
  std::vector<std::uint32_t> tag_ends_;      // in element_ends_
};

}  // namespace nostril
