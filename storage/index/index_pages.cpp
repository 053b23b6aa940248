#include "storage/index/index_pages.hpp"

#include "messages/limits/store.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

namespace ovir::storage {

namespace {

static_assert(std::endian::native == std::endian::little && sizeof(std::size_t) == 8,
              "LMDB's files have the machine's layout, and this is the one read here");

// A page: header, offsets of its nodes (growing), free space, nodes (from the end).
constexpr std::size_t header_bytes = 16;
constexpr std::uint16_t branch_flag = 0x01;
constexpr std::uint16_t leaf_flag = 0x02;
constexpr std::uint16_t overflow_flag = 0x04;
constexpr std::uint16_t meta_flag = 0x08;
// A node: two halves of a number, flags, the key's length, the key, a leaf's record.
constexpr std::size_t node_header_bytes = 8;
constexpr std::size_t key_bytes_max = 511;
constexpr std::uint16_t node_is_elsewhere = 0x01;
// A meta page.
constexpr std::size_t meta_bytes = 136;
constexpr std::uint32_t meta_magic = 0xBEEFC0DE;
constexpr std::uint32_t data_version = 1;
constexpr std::uint16_t free_tree_flags = 0x4008; // integer keys, and a file without a folder
constexpr std::uint32_t usual_page_bytes = 4'096;
constexpr std::uint32_t page_bytes_max = 32'768;
constexpr std::uint16_t depth_max = 32; // of LMDB's cursors
constexpr std::uint64_t first_page = 2; // after the two meta pages
// At the file's end, given out and given back by one transaction.
constexpr std::uint64_t unwritten_pages_max = 1U << 17U;

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::size_t even(std::size_t n) { return n + (n & 1U); }

/// As LMDB orders keys: bytes, or numbers in the tree of free pages.
bool key_less(std::string_view a, std::string_view b, bool integers) {
  if (!integers) {
    return a < b;
  }
  std::uint64_t x = 0;
  std::uint64_t y = 0;
  std::memcpy(&x, a.data(), sizeof(x));
  std::memcpy(&y, b.data(), sizeof(y));
  return x < y;
}

} // namespace

struct index_pages::page {
  struct node {
    std::uint16_t offset{0};
    std::uint16_t flags{0};
    std::uint16_t key_bytes{0};
    std::uint32_t record_bytes{0}; ///< of a leaf; it may be elsewhere
    std::uint64_t child{0};        ///< of a branch
  };

  std::vector<std::byte> bytes;
  std::vector<node> nodes;
  bool leaf{false};

  [[nodiscard]] std::string_view key(std::size_t i) const {
    return text_of(
        std::span{bytes}.subspan(nodes[i].offset + node_header_bytes, nodes[i].key_bytes));
  }
  [[nodiscard]] std::string_view record(std::size_t i) const {
    return text_of(std::span{bytes}.subspan(
        nodes[i].offset + node_header_bytes + nodes[i].key_bytes, nodes[i].record_bytes));
  }

  /// Which child holds `k`: the last whose first key is not greater. The first child's key is not
  /// looked at: it stands for everything smaller.
  [[nodiscard]] std::size_t child_for(std::string_view k) const {
    std::size_t low = 1;
    std::size_t high = nodes.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (k < key(middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low - 1;
  }
  [[nodiscard]] std::size_t lower_bound(std::string_view k) const {
    std::size_t low = 0;
    std::size_t high = nodes.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (key(middle) < k) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  [[nodiscard]] bool read_nodes(bool integers, look how);
  [[nodiscard]] bool fills_its_space(std::size_t upper) const;
};

// Nodes lie side by side from `upper` to the page's end: LMDB relies on it when it moves them.
bool index_pages::page::fills_its_space(std::size_t upper) const {
  std::vector<std::pair<std::size_t, std::size_t>> places;
  places.reserve(nodes.size());
  for (const node& n : nodes) {
    const bool elsewhere = (n.flags & node_is_elsewhere) != 0;
    const std::size_t body = !leaf ? 0 : elsewhere ? sizeof(std::uint64_t) : n.record_bytes;
    places.emplace_back(n.offset, even(node_header_bytes + n.key_bytes + body));
  }
  std::sort(places.begin(), places.end());
  std::size_t at = upper;
  for (const auto& [offset, length] : places) {
    if (offset != at) {
      return false;
    }
    at += length;
  }
  return at == bytes.size();
}

bool index_pages::page::read_nodes(bool integers, look how) {
  const std::span<const std::byte> all{bytes};
  const auto lower = number_at<std::uint16_t>(all, 12);
  const auto upper = number_at<std::uint16_t>(all, 14);
  if (lower < header_bytes || lower % 2 != 0 || lower > upper || upper > bytes.size()) {
    return false;
  }
  const std::size_t count = (lower - header_bytes) / 2;
  if (count == 0 || (!leaf && count < 2)) {
    return false;
  }
  nodes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    node& n = nodes[i];
    n.offset = number_at<std::uint16_t>(all, header_bytes + 2 * i);
    if (n.offset < upper || n.offset % 2 != 0 || n.offset + node_header_bytes > bytes.size()) {
      return false;
    }
    const auto low = number_at<std::uint16_t>(all, n.offset);
    const auto high = number_at<std::uint16_t>(all, n.offset + 2U);
    n.flags = number_at<std::uint16_t>(all, n.offset + 4U);
    n.key_bytes = number_at<std::uint16_t>(all, n.offset + 6U);
    n.record_bytes = low | (static_cast<std::uint32_t>(high) << 16U);
    n.child = n.record_bytes | (static_cast<std::uint64_t>(n.flags) << 32U);
    if (!leaf) {
      n.flags = 0;
    }
    const bool elsewhere = (n.flags & node_is_elsewhere) != 0;
    const std::size_t room = bytes.size() - n.offset - node_header_bytes;
    if (n.flags > node_is_elsewhere || n.key_bytes > key_bytes_max || n.key_bytes > room ||
        (leaf && (elsewhere ? sizeof(std::uint64_t) : n.record_bytes) > room - n.key_bytes)) {
      return false;
    }
    const bool has_key = leaf || i > 0; // a branch's first key is never compared
    if (has_key && (integers ? n.key_bytes != sizeof(std::uint64_t) : n.key_bytes == 0)) {
      return false;
    }
    if (how == look::thorough && i > (leaf ? 0U : 1U) && !key_less(key(i - 1), key(i), integers)) {
      return false;
    }
  }
  return how == look::quick || fills_its_space(upper);
}

struct index_pages::walk {
  tree_root root;
  std::uint64_t pages_in_file{0};
  const record_visitor& visit;
  std::vector<bool> seen{};
  pages_found found{};
  std::optional<std::uint64_t> last_free_key{};

  /// True for the first who comes to this page.
  bool claim(std::uint64_t number, std::uint64_t end) {
    if (number < first_page || number >= end || seen[number]) {
      return false;
    }
    seen[number] = true;
    return true;
  }
  void damaged() {
    found.sound = false;
    ++found.damaged_pages;
  }
};

std::optional<tree_root> index_pages::root_at(std::uint32_t page_bytes, int number) {
  std::array<std::byte, header_bytes + meta_bytes> bytes{};
  const auto got = file_.read_at(std::uint64_t{page_bytes} * static_cast<unsigned>(number), bytes);
  if (!got || *got != bytes.size()) {
    return std::nullopt;
  }
  const std::span<const std::byte> head{bytes};
  const std::span<const std::byte> meta = head.subspan(header_bytes);
  const std::span<const std::byte> free_tree = meta.subspan(24);
  const std::span<const std::byte> main_tree = meta.subspan(72);
  tree_root root;
  root.page_bytes = number_at<std::uint32_t>(free_tree, 0);
  root.free_depth = number_at<std::uint16_t>(free_tree, 6);
  root.free_page = number_at<std::uint64_t>(free_tree, 40);
  root.depth = number_at<std::uint16_t>(main_tree, 6);
  root.records = number_at<std::uint64_t>(main_tree, 32);
  root.page = number_at<std::uint64_t>(main_tree, 40);
  root.pages_end = number_at<std::uint64_t>(meta, 120) + 1;
  root.transaction = number_at<std::uint64_t>(meta, 128);
  const bool sound = number_at<std::uint64_t>(head, 0) == static_cast<unsigned>(number) &&
                     number_at<std::uint16_t>(head, 10) == meta_flag &&
                     number_at<std::uint32_t>(meta, 0) == meta_magic &&
                     number_at<std::uint32_t>(meta, 4) == data_version &&
                     root.page_bytes == page_bytes &&
                     number_at<std::uint16_t>(free_tree, 4) == free_tree_flags &&
                     number_at<std::uint16_t>(main_tree, 4) == 0 && root.depth <= depth_max &&
                     root.free_depth <= depth_max && root.pages_end >= first_page &&
                     root.pages_end <= limits::store_index_bytes_max / page_bytes &&
                     (root.depth == 0) == (root.page == tree_root::no_page) &&
                     (root.free_depth == 0) == (root.free_page == tree_root::no_page);
  return sound ? std::optional{root} : std::nullopt;
}

std::vector<tree_root> index_pages::possible_roots() {
  std::uint32_t page_bytes = usual_page_bytes;
  std::array<std::byte, 4> stated{};
  if (const auto got = file_.read_at(header_bytes + 24, stated); got && *got == stated.size()) {
    const auto said = number_at<std::uint32_t>(stated, 0);
    if (said >= usual_page_bytes && said <= page_bytes_max && std::has_single_bit(said)) {
      page_bytes = said;
    }
  }
  std::vector<tree_root> roots;
  for (const int number : {0, 1}) {
    if (const auto root = root_at(page_bytes, number)) {
      roots.push_back(*root);
    }
  }
  std::stable_sort(roots.begin(), roots.end(), [](const tree_root& a, const tree_root& b) {
    return a.transaction > b.transaction;
  });
  return roots;
}

std::optional<tree_root> index_pages::newest_root() {
  const std::vector<tree_root> roots = possible_roots();
  if (roots.size() < 2) {
    return std::nullopt;
  }
  return roots.front();
}

std::optional<index_pages::page> index_pages::load(const tree_root& root, std::uint64_t number,
                                                   bool leaf, bool integers, look how) {
  if (number < first_page || number >= root.pages_end) {
    return std::nullopt;
  }
  page p;
  p.leaf = leaf;
  p.bytes.resize(root.page_bytes);
  const auto got = file_.read_at(number * root.page_bytes, p.bytes);
  if (!got || *got != p.bytes.size() || number_at<std::uint64_t>(p.bytes, 0) != number ||
      number_at<std::uint16_t>(p.bytes, 10) != (leaf ? leaf_flag : branch_flag) ||
      !p.read_nodes(integers, how)) {
    return std::nullopt;
  }
  return p;
}

index_pages::lookup index_pages::find(const tree_root& root, std::string_view key,
                                      std::string& record) {
  if (root.depth == 0) {
    return lookup::absent;
  }
  std::uint64_t number = root.page;
  for (std::uint16_t level = root.depth; level > 1; --level) {
    const auto p = load(root, number, false, false, look::quick);
    if (!p) {
      return lookup::damaged;
    }
    number = p->nodes[p->child_for(key)].child;
  }
  const auto p = load(root, number, true, false, look::quick);
  if (!p) {
    return lookup::damaged;
  }
  const std::size_t at = p->lower_bound(key);
  if (at == p->nodes.size() || p->key(at) != key) {
    return lookup::absent;
  }
  if (p->nodes[at].flags != 0) {
    return lookup::damaged; // our records are never that long
  }
  record = p->record(at);
  return lookup::found;
}

bool index_pages::sample(const tree_root& root, std::string_view key, std::size_t count,
                         const record_visitor& visit) {
  if (root.depth == 0) {
    return true;
  }
  std::uint64_t number = root.page;
  for (std::uint16_t level = root.depth; level > 1; --level) {
    const auto p = load(root, number, false, false, look::quick);
    if (!p) {
      return false;
    }
    number = p->nodes[p->child_for(key)].child;
  }
  const auto p = load(root, number, true, false, look::quick);
  if (!p) {
    return false;
  }
  const std::size_t all = p->nodes.size();
  const std::size_t last = std::min(all, p->lower_bound(key) + count);
  for (std::size_t i = last - std::min(last, count); i < last; ++i) {
    if (p->nodes[i].flags == 0) {
      visit(p->key(i), p->record(i));
    }
  }
  return true;
}

void index_pages::visit_below(walk& w, std::uint64_t number, std::uint16_t depth,
                              std::optional<std::string_view> low,
                              std::optional<std::string_view> high) {
  if (!w.claim(number, std::min(w.root.pages_end, w.pages_in_file))) {
    return w.damaged();
  }
  const auto p = load(w.root, number, depth == 1, false);
  if (!p) {
    return w.damaged();
  }
  const std::size_t first = p->leaf ? 0 : 1;
  if ((low && p->key(first) < *low) || (high && !(p->key(p->nodes.size() - 1) < *high))) {
    return w.damaged(); // a page of elsewhere
  }
  for (std::size_t i = 0; i < p->nodes.size(); ++i) {
    if (p->leaf) {
      if (p->nodes[i].flags != 0) {
        w.damaged();
      } else {
        ++w.found.records;
        w.visit(p->key(i), p->record(i));
      }
      continue;
    }
    visit_below(w, p->nodes[i].child, static_cast<std::uint16_t>(depth - 1),
                i == 0 ? low : p->key(i), i + 1 == p->nodes.size() ? high : p->key(i + 1));
  }
}

pages_found index_pages::visit_all(const tree_root& root, const record_visitor& visit) {
  walk w{.root = root, .visit = visit};
  const auto bytes = file_.size();
  w.pages_in_file = bytes ? *bytes / root.page_bytes : 0;
  w.seen.resize(root.pages_end);
  if (root.depth > 0) {
    visit_below(w, root.page, root.depth, std::nullopt, std::nullopt);
  }
  w.found.sound = w.found.sound && w.found.records == root.records;
  return w.found;
}

bool index_pages::read_overflow(walk& w, std::uint64_t number, std::uint32_t bytes,
                                std::vector<std::byte>& out) {
  const std::uint64_t end = std::min(w.root.pages_end, w.pages_in_file);
  if (number < first_page || number >= end) {
    return false;
  }
  std::array<std::byte, header_bytes> head{};
  const std::uint64_t at = number * w.root.page_bytes;
  const auto got_head = file_.read_at(at, head);
  if (!got_head || *got_head != head.size() || number_at<std::uint64_t>(head, 0) != number ||
      number_at<std::uint16_t>(head, 10) != overflow_flag) {
    return false;
  }
  // It may have more pages than the record needs: a shorter record takes the place of a longer one.
  const std::uint64_t pages = number_at<std::uint32_t>(head, 12);
  if (pages > end - number || header_bytes + bytes > pages * w.root.page_bytes) {
    return false;
  }
  for (std::uint64_t i = 0; i < pages; ++i) {
    if (!w.claim(number + i, end)) {
      return false;
    }
  }
  out.resize(bytes);
  const auto got = file_.read_at(at + header_bytes, out);
  return got && *got == bytes;
}

// A record of the tree of free pages: how many, then their numbers, the largest first.
void index_pages::visit_free_leaf(walk& w, const page& p) {
  for (std::size_t i = 0; i < p.nodes.size(); ++i) {
    std::uint64_t key = 0;
    std::memcpy(&key, p.key(i).data(), sizeof(key));
    const bool in_order = !w.last_free_key || *w.last_free_key < key;
    w.last_free_key = key;
    std::vector<std::byte> list;
    if (p.nodes[i].flags != 0) {
      const std::size_t at = p.nodes[i].offset + node_header_bytes + p.nodes[i].key_bytes;
      if (!read_overflow(w, number_at<std::uint64_t>(p.bytes, at), p.nodes[i].record_bytes, list)) {
        return w.damaged();
      }
    } else {
      const auto record = std::as_bytes(std::span{p.record(i)});
      list.assign(record.begin(), record.end());
    }
    if (!in_order || key > w.root.transaction || list.size() < sizeof(std::uint64_t)) {
      return w.damaged();
    }
    const auto count = number_at<std::uint64_t>(list, 0);
    if (count > list.size() / sizeof(std::uint64_t) - 1) {
      return w.damaged();
    }
    std::uint64_t before = w.root.pages_end;
    for (std::uint64_t n = 1; n <= count; ++n) {
      const auto number = number_at<std::uint64_t>(list, n * sizeof(std::uint64_t));
      if (number >= before || !w.claim(number, w.root.pages_end)) {
        return w.damaged(); // in use, or free twice
      }
      before = number;
    }
  }
}

void index_pages::visit_free_below(walk& w, std::uint64_t number, std::uint16_t depth) {
  if (!w.claim(number, std::min(w.root.pages_end, w.pages_in_file))) {
    return w.damaged();
  }
  const auto p = load(w.root, number, depth == 1, true);
  if (!p) {
    return w.damaged();
  }
  if (p->leaf) {
    return visit_free_leaf(w, *p);
  }
  for (const page::node& n : p->nodes) {
    visit_free_below(w, n.child, static_cast<std::uint16_t>(depth - 1));
  }
}

pages_found index_pages::check_all(const tree_root& root, const record_visitor& visit) {
  walk w{.root = root, .visit = visit};
  const auto bytes = file_.size();
  w.pages_in_file = bytes ? *bytes / root.page_bytes : 0;
  w.seen.resize(root.pages_end);
  if (root.depth > 0) {
    visit_below(w, root.page, root.depth, std::nullopt, std::nullopt);
  }
  w.found.sound = w.found.sound && w.found.records == root.records &&
                  root.pages_end <= w.pages_in_file + unwritten_pages_max;
  if (root.free_depth > 0) {
    visit_free_below(w, root.free_page, root.free_depth);
  }
  return w.found;
}

bool index_pages::free_tree_is_sound(const tree_root& root) {
  const record_visitor nobody = [](std::string_view, std::string_view) {};
  walk w{.root = root, .visit = nobody};
  const auto bytes = file_.size();
  w.pages_in_file = bytes ? *bytes / root.page_bytes : 0;
  w.seen.resize(root.pages_end);
  if (root.free_depth > 0) {
    visit_free_below(w, root.free_page, root.free_depth);
  }
  return w.found.sound;
}

bool index_pages::path_is_sound(const tree_root& root, std::string_view key) {
  if (root.depth == 0) {
    return true;
  }
  std::uint64_t number = root.page;
  for (std::uint16_t level = root.depth; level > 1; --level) {
    const auto p = load(root, number, false, false);
    if (!p) {
      return false;
    }
    const std::size_t at = p->child_for(key);
    const bool leaves = level == 2;
    if ((at > 0 && !load(root, p->nodes[at - 1].child, leaves, false)) ||
        (at + 1 < p->nodes.size() && !load(root, p->nodes[at + 1].child, leaves, false))) {
      return false;
    }
    number = p->nodes[at].child;
  }
  return load(root, number, true, false).has_value();
}

} // namespace ovir::storage
