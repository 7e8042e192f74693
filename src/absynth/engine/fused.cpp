// A whole Langevin chain on a fully connected log density, in one call.
//
//   score(x) = quadratic * x + sum over terms of J_term(x)^T seed(x)
//
// A term is a stack of linear layers with leaky ReLU or tanh between them. Its seed is a constant row (an energy's last
// layer) or the residual of its output to data (a Gaussian likelihood). Chains do not talk to each other, so every
// thread owns a slice of them for all steps, a block of rows at a time that stays in its cache, and nobody waits.
// Weights are packed once a call. Vectors are those of GCC and Clang: no intrinsics.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, ROWS = 6, WIDTH = 4;  // 24 accumulators of 32 registers
#else
constexpr int VECTOR_BYTES = 32, ROWS = 6, WIDTH = 2;  // 12 of 16
#endif
constexpr int BLOCK = 104;  // rows that go through all steps together: wide layers' weights are read once for them

enum Activation : int64_t { NONE = 0, LEAKY = 1, TANH = 2 };

extern "C" {
struct Layer {
  const void *weight, *bias;  // weight [out, in] row-major; bias [out] or null
  int64_t n_in, n_out, activation;
  double slope;
};
struct Term {
  const Layer *layers;
  int64_t n_layers;
  const void *row;   // [n_out] seed of an energy, or null
  const void *data;  // [batch, n_out] of a likelihood, or null
  double factor;     // times the row, or times (output - data)
};
struct Chain {
  const Term *terms;
  int64_t n_terms, batch, dim, steps, threads;
  double quadratic, drift;
  const double *noise_scales;  // [steps]
  const void *const *noise;    // [steps] pointers to [batch, dim], null where the scale is 0
  void *x;                     // [batch, dim], changed in place
};
}

template <class T> struct Vec {
  typedef T type __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T))));
  static constexpr int n = VECTOR_BYTES / sizeof(T);
};

template <class T> static T *aligned(std::vector<T> &v) {
  auto p = reinterpret_cast<uintptr_t>(v.data());
  return reinterpret_cast<T *>((p + 63) / 64 * 64);
}

// tanh to rounding: an odd series near 0, (e - 1) / (e + 1) with e = exp(2x) beyond. Not a number stays not a number.
static inline double tanh_of(double x) { return std::tanh(x); }
static inline float tanh_of(float x) {
  float a = std::fabs(x), z = x * x;
  // Taylor terms up to x^13, whose rest is below rounding for |x| < 0.5
  float near = x + x * z * (-1 / 3.f + z * (2 / 15.f + z * (-17 / 315.f + z * (62 / 2835.f +
               z * (-1382 / 155925.f + z * (21844 / 6081075.f + z * (-929569 / 638512875.f)))))));
  float t = 2 * (a < 9.5f ? a : (a >= 9.5f ? 9.5f : a)) * 1.44269504f;
  float k = std::nearbyint(t), r = (t - k) * 0.69314718f;
  float e = 1 + r * (1 + r * (0.5f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r * (1 / 720.f))))));
  int32_t bits = static_cast<int32_t>(k == k ? k : 0) + 127;
  float power;
  bits <<= 23;
  std::memcpy(&power, &bits, 4);
  e *= power;
  float far = 1 - 2 / (e + 1);
  far = x < 0 ? -far : far;
  return a < 0.5f ? near : far;
}

// A matrix [depth, n] in panels of at most WIDTH vectors, zero-padded.
template <class T> struct Packed {
  std::vector<T> storage;
  const T *values;
  int64_t depth, n, n_vectors, panels;

  // The source is [depth, n] row-major, or [n, depth] where it is to be transposed.
  Packed(const T *source, int64_t depth, int64_t n, bool transpose) : depth(depth), n(n) {
    constexpr int V = Vec<T>::n;
    n_vectors = (n + V - 1) / V;
    panels = (n_vectors + WIDTH - 1) / WIDTH;
    storage.assign(depth * n_vectors * V + 64, T(0));
    T *to = aligned(storage);
    values = to;
    for (int64_t p = 0; p < panels; ++p) {
      int64_t first = start(p) * V, columns = (start(p + 1) - start(p)) * V;
      int64_t filled = first + columns < n ? columns : n - first;
      if (!transpose) {
        for (int64_t k = 0; k < depth; ++k, to += columns) std::memcpy(to, source + k * n + first, filled * sizeof(T));
        continue;
      }
      for (int64_t k = 0; k < depth; k += 16, to += 16 * columns) {  // a part that stays in the nearest cache
        int64_t deep = depth - k < 16 ? depth - k : 16;
        for (int64_t c = 0; c < filled; ++c)
          for (int64_t i = 0; i < deep; ++i) to[i * columns + c] = source[(first + c) * depth + k + i];
        if (deep < 16) to -= (16 - deep) * columns;
      }
    }
  }
  Packed(Packed &&) noexcept = default;  // values points into storage, which a move keeps and a copy would not
  Packed(const Packed &) = delete;
  int64_t start(int64_t panel) const { return panel * n_vectors / panels; }  // first vector of a panel
};

// c[rows, width vectors] = a[rows, depth] b[depth, width vectors]
template <class T, int R, int W>
static inline void tile(const T *a, int64_t lda, const T *b, int64_t depth, T *c, int64_t ldc) {
  typedef typename Vec<T>::type V;
  constexpr int n = Vec<T>::n;
  V sum[R][W];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int w = 0; w < W; ++w) sum[r][w] = V{};
  for (int64_t k = 0; k < depth; ++k) {
    V row[W];
#pragma GCC unroll 4
    for (int w = 0; w < W; ++w) row[w] = *reinterpret_cast<const V *>(b + (k * W + w) * n);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int w = 0; w < W; ++w) sum[r][w] += a[r * lda + k] * row[w];
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int w = 0; w < W; ++w) *reinterpret_cast<V *>(c + r * ldc + w * n) = sum[r][w];
}

template <class T, int W>
static void tiles(const T *a, int64_t lda, const T *b, int64_t depth, T *c, int64_t ldc, int64_t rows) {
  int64_t r = 0;
  for (; r + ROWS <= rows; r += ROWS) tile<T, ROWS, W>(a + r * lda, lda, b, depth, c + r * ldc, ldc);
  switch (rows - r) {
    case 5: tile<T, 5, W>(a + r * lda, lda, b, depth, c + r * ldc, ldc); break;
    case 4: tile<T, 4, W>(a + r * lda, lda, b, depth, c + r * ldc, ldc); break;
    case 3: tile<T, 3, W>(a + r * lda, lda, b, depth, c + r * ldc, ldc); break;
    case 2: tile<T, 2, W>(a + r * lda, lda, b, depth, c + r * ldc, ldc); break;
    case 1: tile<T, 1, W>(a + r * lda, lda, b, depth, c + r * ldc, ldc); break;
  }
}

// c = a b; the columns that pad a row to whole vectors come out as zeros.
template <class T>
static void product(const T *a, int64_t lda, const Packed<T> &b, T *c, int64_t ldc, int64_t rows) {
  constexpr int V = Vec<T>::n;
  const T *panel = b.values;
  for (int64_t p = 0; p < b.panels; ++p) {
    int64_t first = b.start(p), width = b.start(p + 1) - first;
    T *to = c + first * V;
    switch (width) {
#if defined(__AVX512F__)
      case 4: tiles<T, 4>(a, lda, panel, b.depth, to, ldc, rows); break;
      case 3: tiles<T, 3>(a, lda, panel, b.depth, to, ldc, rows); break;
#endif
      case 2: tiles<T, 2>(a, lda, panel, b.depth, to, ldc, rows); break;
      case 1: tiles<T, 1>(a, lda, panel, b.depth, to, ldc, rows); break;
    }
    panel += b.depth * width * V;
  }
}

static int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

template <class T> struct Stage {
  typedef typename Vec<T>::type V;
  Packed<T> forward, backward;
  std::vector<T> bias;  // padded with zeros
  Activation activation;
  T slope;

  explicit Stage(const Layer &l)
      : forward(static_cast<const T *>(l.weight), l.n_in, l.n_out, true),
        backward(static_cast<const T *>(l.weight), l.n_out, l.n_in, false), bias(padded(l.n_out), T(0)),
        activation(static_cast<Activation>(l.activation)), slope(T(l.slope)) {
    if (l.bias) std::memcpy(bias.data(), l.bias, l.n_out * sizeof(T));
  }

  // One padded row of outputs: h <- activation(h + bias)
  void activate(T *__restrict h) const {
    constexpr int n = Vec<T>::n;
    int64_t width = bias.size();
    const T *__restrict b = bias.data();
    if (activation == LEAKY) {
      V s = V{} + slope;
      for (int64_t j = 0; j < width; j += n) {
        V v = *reinterpret_cast<const V *>(h + j) + *reinterpret_cast<const V *>(b + j);
        *reinterpret_cast<V *>(h + j) = v > 0 ? v : s * v;
      }
    } else if (activation == TANH) {
      for (int64_t j = 0; j < width; ++j) h[j] = tanh_of(h[j] + b[j]);
    } else {
      for (int64_t j = 0; j < width; ++j) h[j] += b[j];
    }
  }
  // One padded row: h <- g times the derivative at output h
  void derive(const T *__restrict g, T *__restrict h) const {
    constexpr int n = Vec<T>::n;
    int64_t width = bias.size();
    if (activation == LEAKY) {
      V s = V{} + slope;
      for (int64_t j = 0; j < width; j += n) {
        V v = *reinterpret_cast<const V *>(g + j);
        *reinterpret_cast<V *>(h + j) = *reinterpret_cast<const V *>(h + j) > 0 ? v : s * v;
      }
    } else if (activation == TANH) {
      for (int64_t j = 0; j < width; ++j) h[j] = g[j] * (1 - h[j] * h[j]);
    } else {
      std::memcpy(h, g, width * sizeof(T));
    }
  }
};

template <class T> struct Stack {
  std::vector<Stage<T>> stages;
  std::vector<T> seed;  // of an energy, padded
  const Term &term;

  explicit Stack(const Term &t) : term(t) {
    for (int64_t i = 0; i < t.n_layers; ++i) stages.emplace_back(t.layers[i]);
    if (!t.row) return;
    int64_t n = stages.back().forward.n;
    seed.assign(padded(n), T(0));
    for (int64_t j = 0; j < n; ++j) seed[j] = static_cast<const T *>(t.row)[j] * T(t.factor);
  }
};

// All steps for chains row ... row + rows.
template <class T>
static void run_block(const Chain &chain, const std::vector<Stack<T>> &stacks, int64_t row, int64_t rows) {
  int64_t dim = chain.dim, ld = padded(dim), widest = ld, total = 0;
  for (const auto &s : stacks) {
    int64_t sum = 0;
    for (const auto &stage : s.stages) {
      sum += padded(stage.forward.n);
      widest = padded(stage.forward.n) > widest ? padded(stage.forward.n) : widest;
    }
    total = sum > total ? sum : total;
  }
  std::vector<T> memory((total + 2 * ld + widest) * rows + 4 * 64, T(0));
  T *state = aligned(memory), *score = state + rows * ld, *spare = score + rows * ld, *base = spare + rows * widest;
  T *x = static_cast<T *>(chain.x) + row * dim;
  for (int64_t r = 0; r < rows; ++r) std::memcpy(state + r * ld, x + r * dim, dim * sizeof(T));
  T drift = T(chain.drift), quadratic = T(chain.quadratic);

  for (int64_t step = 0; step < chain.steps; ++step) {
    bool first_term = true;
    for (const auto &s : stacks) {
      size_t last = s.stages.size() - 1;
      std::vector<T *> h(s.stages.size());
      T *next = base;
      const T *in = state;
      int64_t ld_in = ld;
      for (size_t l = 0; l <= last; ++l) {
        const auto &stage = s.stages[l];
        int64_t n = stage.forward.n, ld_out = padded(n);
        T *out = h[l] = next;
        next += rows * ld_out;
        product(in, ld_in, stage.forward, out, ld_out, rows);
        for (int64_t r = 0; r < rows; ++r) stage.activate(out + r * ld_out);
        in = out;
        ld_in = ld_out;
      }
      const auto &top = s.stages[last];
      int64_t n = top.forward.n, ld_top = padded(n);
      for (int64_t r = 0; r < rows; ++r) {  // outputs turn into the gradient before the last activation
        T *__restrict o = h[last] + r * ld_top;
        if (s.seed.size()) {
          top.derive(s.seed.data(), o);
          continue;
        }
        const T *__restrict data = static_cast<const T *>(s.term.data) + (row + r) * n;
        T factor = T(s.term.factor), *__restrict g = spare;
        for (int64_t j = 0; j < n; ++j) g[j] = (o[j] - data[j]) * factor;
        for (int64_t j = n; j < ld_top; ++j) g[j] = 0;
        top.derive(g, o);
      }
      for (size_t l = last; l > 0; --l) {
        const auto &below = s.stages[l - 1];
        int64_t ld_below = padded(below.forward.n);
        product(h[l], padded(s.stages[l].forward.n), s.stages[l].backward, spare, ld_below, rows);
        for (int64_t r = 0; r < rows; ++r) below.derive(spare + r * ld_below, h[l - 1] + r * ld_below);
      }
      const auto &bottom = s.stages[0];
      product(h[0], padded(bottom.forward.n), bottom.backward, first_term ? score : spare, ld, rows);
      if (!first_term)
        for (int64_t i = 0; i < rows * ld; ++i) score[i] += spare[i];
      first_term = false;
    }
    T scale = T(chain.noise_scales[step]);
    const T *noise = static_cast<const T *>(chain.noise[step]);
    for (int64_t r = 0; r < rows; ++r) {
      T *z = state + r * ld;
      const T *g = score + r * ld;
      if (noise) {
        const T *e = noise + (row + r) * dim;
        for (int64_t j = 0; j < dim; ++j) z[j] = z[j] + drift * (g[j] + quadratic * z[j]) + scale * e[j];
      } else {
        for (int64_t j = 0; j < dim; ++j) z[j] = z[j] + drift * (g[j] + quadratic * z[j]);
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) std::memcpy(x + r * dim, state + r * ld, dim * sizeof(T));
}

template <class T> static void run(const Chain &chain) {
  std::vector<Stack<T>> stacks;
  for (int64_t i = 0; i < chain.n_terms; ++i) stacks.emplace_back(chain.terms[i]);
  int64_t threads = chain.threads < 1 ? 1 : chain.threads;
  auto slice = [&](int64_t t) {
    int64_t from = t * chain.batch / threads, to = (t + 1) * chain.batch / threads;
    int64_t blocks = (to - from + BLOCK - 1) / BLOCK;
    for (int64_t i = 0; i < blocks; ++i) {
      int64_t a = from + i * (to - from) / blocks, b = from + (i + 1) * (to - from) / blocks;
      run_block<T>(chain, stacks, a, b - a);
    }
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < threads; ++t) others.emplace_back(slice, t);
  slice(0);
  for (auto &t : others) t.join();
}

extern "C" void chain_float32(const Chain *chain) { run<float>(*chain); }
extern "C" void chain_float64(const Chain *chain) { run<double>(*chain); }
