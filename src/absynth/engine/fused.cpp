// A whole Langevin or HMC chain (MALA is HMC of one leapfrog step) in one call, on a score that is a list of instructions.
//
// An instruction makes one tensor of a row for each chain: a product with constant weights, or a function of each entry
// of up to three others. Chains do not talk to each other, so every thread owns a slice of them for all steps, a block of
// rows at a time that stays in its cache, and nobody waits. Weights are packed once a call. Vectors are those of GCC and
// Clang: no intrinsics.

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, ROWS = 6, WIDTH = 4;  // 24 accumulators of 32 registers
#else
constexpr int VECTOR_BYTES = 32, ROWS = 6, WIDTH = 2;  // 12 of 16
#endif
constexpr int BLOCK = 104;  // rows that go through all steps together: wide layers' weights are read once for them

// The order is that of OPERATIONS in fused.py. A derivative comes with what it needs: _Y what came out, _X what went in.
enum Op : int64_t {
  PRODUCT, ADD, MULTIPLY, DIVIDE, SCALE, SHIFT, SQUARE, ABSOLUTE, SQRT, RECIPROCAL, EXP, LOG, RELU, LEAKY, TANH, SIGMOID,
  SILU, GELU, SOFTPLUS, ELU, RELU_Y, LEAKY_Y, TANH_Y, SIGMOID_Y, SILU_X, GELU_X, SOFTPLUS_X, ELU_X, WHERE, ROW_SUM
};

extern "C" {
struct Slot {
  const void *data;  // constant values, or null: memory of the chain's own
  int64_t n;         // entries a row
  int64_t rows;      // of a constant: 1 for all chains, or one for each
};
struct Weight {
  const void *data;  // [n_in, n_out] row-major, or its transpose
  int64_t n_in, n_out, transposed;
};
struct Step {
  int64_t op, out, a, b, c;  // slots; of a product, b is a weight and c the slot of a bias or -1
  double s, t;
};
struct Chain {
  const Slot *slots;  // the first is x
  const Weight *weights;
  const Step *score;
  int64_t n_slots, n_weights, n_score, score_slot, batch, dim, steps, threads;
  double drift;
  const double *noise_scales;  // [steps]; of HMC: [batch], the step sizes
  const void *const *noise;    // [steps] pointers to [batch, dim], null where the scale is 0
  void *x;                     // [batch, dim], changed in place
  const void *const *logs;     // of HMC: [steps] pointers to [batch], logarithms of uniform numbers; else null
  void *values;                // of HMC: [batch], the log density at the start
  int64_t value_slot, leapfrog;
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

// out[j] = f(a[j], b[j], c[j]) for rows of n entries. Where an operand has one entry a row, it stands for all.
template <class T> struct Operand {
  const T *data;
  int64_t ld;  // from one row to the next, 0 where all have the same
  bool one;
};
// Sum of f(j) in 16 partial sums, which a compiler can keep in vectors.
template <class T, class F> static inline T sum_of(int64_t n, F f) {
  T part[16] = {}, sum = 0;
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    for (int i = 0; i < 16; ++i) part[i] += f(j + i);
  for (; j < n; ++j) sum += f(j);
  for (int i = 0; i < 16; ++i) sum += part[i];
  return sum;
}

template <class T, class F>
static inline void each(T *out, int64_t ld, int64_t rows, const Operand<T> *in, int n_in, std::vector<T> &spread, F f) {
  for (int64_t r = 0; r < rows; ++r) {
    const T *p[3] = {nullptr, nullptr, nullptr};
    for (int i = 0; i < 3; ++i) {
      const Operand<T> &o = in[i < n_in ? i : 0];
      p[i] = o.data + r * o.ld;
      if (!o.one || i >= n_in) continue;
      T *row = spread.data() + i * ld;
      for (int64_t j = 0; j < ld; ++j) row[j] = p[i][0];
      p[i] = row;
    }
    const T *a = p[0], *b = p[1], *c = p[2];
    T *o = out + r * ld;
#pragma GCC ivdep
    for (int64_t j = 0; j < ld; ++j) o[j] = f(a[j], b[j], c[j]);
  }
}

template <class T>
static void apply(const Step &step, T *out, int64_t ld, int64_t rows, const Operand<T> *in, std::vector<T> &spread) {
  const T s = T(step.s), t = T(step.t);
#define EACH(n_in, value) each(out, ld, rows, in, n_in, spread, [=](T a, T b, T c) { (void)b, (void)c; return T(value); }); break
  switch (static_cast<Op>(step.op)) {
    case ADD: EACH(2, a + s * b);
    case MULTIPLY: EACH(2, a * b);
    case DIVIDE: EACH(2, a / b);
    case SCALE: EACH(1, a * s);
    case SHIFT: EACH(1, a * t + s);
    case SQUARE: EACH(1, a * a);
    case ABSOLUTE: EACH(1, std::fabs(a));
    case SQRT: EACH(1, std::sqrt(a));
    case RECIPROCAL: EACH(1, 1 / a);
    case EXP: EACH(1, exp_of(a));
    case LOG: EACH(1, log_of(a));
    case RELU: EACH(1, a < 0 ? T(0) : a);
    case LEAKY: EACH(1, a > 0 ? a : s * a);
    case TANH: EACH(1, tanh_of(a));
    case SIGMOID: EACH(1, sigmoid_of(a));
    case SILU: EACH(1, a * sigmoid_of(a));
    case GELU: EACH(1, a * normal_of(a));
    case SOFTPLUS: EACH(1, a * s > t ? a : log1p_of(exp_of(a * s)) / s);
    case ELU: EACH(1, a > 0 ? a : s * (exp_of(a) - 1));
    case RELU_Y: EACH(2, b <= s ? T(0) : a);
    case LEAKY_Y: EACH(2, b > 0 ? a : s * a);
    case TANH_Y: EACH(2, a * (1 - b * b));
    case SIGMOID_Y: EACH(2, a * (1 - b) * b);
    case SILU_X: EACH(2, a * sigmoid_of(b) * (1 + b * (1 - sigmoid_of(b))));
    case GELU_X: EACH(2, a * (normal_of(b) + b * T(0.39894228040143267794) * exp_of(T(-0.5) * b * b)));
    case SOFTPLUS_X: EACH(2, b * s > t ? a : a * sigmoid_of(b * s));
    case ELU_X: EACH(2, b > 0 ? a : a * s * exp_of(b));
    case WHERE: EACH(3, a != 0 ? b : c);
    case PRODUCT: case ROW_SUM: break;
  }
#undef EACH
}

// HMC for chains row ... row + rows, which stand at ``state``; the density there is found by ``evaluate``.
template <class T, class F>
static void hamiltonian(const Chain &chain, int64_t row, int64_t rows, T *state, int64_t ld, const Operand<T> &score,
                        const Operand<T> &value, F evaluate) {
  int64_t dim = chain.dim;
  T *x = static_cast<T *>(chain.x) + row * dim, *first = static_cast<T *>(chain.values) + row;
  std::vector<T> scores(rows * dim), levels(rows), momenta(rows * dim);  // where the chains stand: x, scores, levels
  evaluate();
  for (int64_t r = 0; r < rows; ++r) {
    first[r] = levels[r] = value.data[r * value.ld];
    std::memcpy(scores.data() + r * dim, score.data + r * score.ld, dim * sizeof(T));
  }
  for (int64_t k = 0; k < chain.steps; ++k) {
    const T *noise = static_cast<const T *>(chain.noise[k]) + row * dim;
    for (int64_t l = 0; l < chain.leapfrog; ++l) {
      if (l > 0) evaluate();
      for (int64_t r = 0; r < rows; ++r) {  // half a kick at the start of a trajectory, whole ones within it
        const T scale = T(chain.noise_scales[row + r]), kick = l > 0 ? scale : T(0.5) * scale;
        T *z = state + r * ld, *p = momenta.data() + r * dim;
        const T *from = l > 0 ? z : x + r * dim, *old = l > 0 ? p : noise + r * dim;
        const T *g = l > 0 ? score.data + r * score.ld : scores.data() + r * dim;
#pragma GCC ivdep
        for (int64_t j = 0; j < dim; ++j) {
          p[j] = old[j] + kick * g[j];
          z[j] = from[j] + scale * p[j];
        }
      }
    }
    evaluate();
    for (int64_t r = 0; r < rows; ++r) {
      const T *g = score.data + r * score.ld, *e = noise + r * dim, *p = momenta.data() + r * dim;
      const T level = value.data[r * value.ld], half = T(0.5 * chain.noise_scales[row + r]);
      T gained = sum_of<T>(dim, [=](int64_t j) {  // twice the kinetic energy; a product loses fewer digits than squares
        T last = p[j] + half * g[j];
        return (last - e[j]) * (last + e[j]);
      });
      if (static_cast<const T *>(chain.logs[k])[row + r] < level - levels[r] - T(0.5) * gained) {
        std::memcpy(x + r * dim, state + r * ld, dim * sizeof(T));
        std::memcpy(scores.data() + r * dim, g, dim * sizeof(T));
        levels[r] = level;
      }
    }
  }
}

// All steps for chains row ... row + rows.
template <class T>
static void run_block(const Chain &chain, const std::vector<Packed<T>> &weights, int64_t row, int64_t rows) {
  int64_t dim = chain.dim, total = 0, widest = 0;
  for (int64_t i = 0; i < chain.n_slots; ++i) {
    const Slot &slot = chain.slots[i];
    int64_t ld = padded(slot.n);
    widest = ld > widest ? ld : widest;
    total += slot.data && slot.rows == 1 ? ld : ld * rows;
  }
  std::vector<T> memory(total + 64, T(0)), spread(3 * widest);
  std::vector<Operand<T>> slots(chain.n_slots);
  T *next = aligned(memory);
  for (int64_t i = 0; i < chain.n_slots; ++i) {  // constants are copied beside the rest, rows padded
    const Slot &slot = chain.slots[i];
    int64_t ld = padded(slot.n), copies = slot.data ? (slot.rows == 1 ? 1 : rows) : 0;
    const T *from = static_cast<const T *>(slot.data) + (slot.rows == 1 ? 0 : row * slot.n);
    slots[i] = {next, slot.data && slot.rows == 1 ? 0 : ld, slot.n == 1};
    for (int64_t r = 0; r < copies; ++r) std::memcpy(next + r * ld, from + r * slot.n, slot.n * sizeof(T));
    next += slot.data && slot.rows == 1 ? ld : ld * rows;
  }
  T *state = const_cast<T *>(slots[0].data), *x = static_cast<T *>(chain.x) + row * dim;
  int64_t ld_x = padded(dim);
  for (int64_t r = 0; r < rows; ++r) std::memcpy(state + r * ld_x, x + r * dim, dim * sizeof(T));
  T drift = T(chain.drift);
  const Operand<T> &score = slots[chain.score_slot];

  auto evaluate = [&] {  // every slot at the state
    for (int64_t i = 0; i < chain.n_score; ++i) {
      const Step &step = chain.score[i];
      T *out = const_cast<T *>(slots[step.out].data);
      int64_t n = chain.slots[step.out].n, ld = padded(n);
      if (step.op == PRODUCT) {
        product(slots[step.a].data, slots[step.a].ld, weights[step.b], out, ld, rows);
        if (step.c >= 0) {
          const T *bias = slots[step.c].data;
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t j = 0; j < ld; ++j) out[r * ld + j] += bias[j];
        }
      } else if (step.op == ROW_SUM) {
        int64_t m = chain.slots[step.a].n;
        for (int64_t r = 0; r < rows; ++r) {
          const T *a = slots[step.a].data + r * slots[step.a].ld;
          out[r * ld] = sum_of<T>(m, [=](int64_t j) { return a[j]; });
        }
      } else {
        Operand<T> in[3] = {slots[step.a], slots[step.b < 0 ? step.a : step.b], slots[step.c < 0 ? step.a : step.c]};
        for (auto &o : in) o.one = o.one && n > 1;
        apply(step, out, ld, rows, in, spread);
      }
    }
  };
  if (chain.logs) return hamiltonian(chain, row, rows, state, ld_x, score, slots[chain.value_slot], evaluate);
  for (int64_t k = 0; k < chain.steps; ++k) {
    evaluate();
    T scale = T(chain.noise_scales[k]);
    const T *noise = static_cast<const T *>(chain.noise[k]);
    for (int64_t r = 0; r < rows; ++r) {
      T *z = state + r * ld_x;
      const T *g = score.data + r * score.ld, *e = noise + (row + r) * dim;
      if (noise) {
        for (int64_t j = 0; j < dim; ++j) z[j] = z[j] + drift * g[j] + scale * e[j];
      } else {
        for (int64_t j = 0; j < dim; ++j) z[j] = z[j] + drift * g[j];
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) std::memcpy(x + r * dim, state + r * ld_x, dim * sizeof(T));
}

template <class T> static void run(const Chain &chain) {
  std::vector<Packed<T>> weights;
  for (int64_t i = 0; i < chain.n_weights; ++i) {
    const Weight &w = chain.weights[i];
    weights.emplace_back(static_cast<const T *>(w.data), w.n_in, w.n_out, w.transposed);
  }
  int64_t threads = chain.threads < 1 ? 1 : chain.threads;
  auto slice = [&](int64_t t) {
    int64_t from = t * chain.batch / threads, to = (t + 1) * chain.batch / threads;
    int64_t blocks = (to - from + BLOCK - 1) / BLOCK;
    for (int64_t i = 0; i < blocks; ++i) {
      int64_t a = from + i * (to - from) / blocks, b = from + (i + 1) * (to - from) / blocks;
      run_block<T>(chain, weights, a, b - a);
    }
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < threads; ++t) others.emplace_back(slice, t);
  slice(0);
  for (auto &t : others) t.join();
}

extern "C" void chain_float32(const Chain *chain) { run<float>(*chain); }
extern "C" void chain_float64(const Chain *chain) { run<double>(*chain); }
