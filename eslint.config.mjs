import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  // The fixtures in TypeScript import the built package. A test checks them.
  {
    ignores: [
      '__test__/package/fixtures/*.*ts',
      'dist/',
      'target/',
      'fuzz/',
      '.cache/',
      'prebuilds/',
      'site/',
      '**/node_modules/',
      '**/*.d.ts',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.mts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Numbers in messages are what most of our messages are about.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      // A `default` says that the rest is meant to be treated alike.
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      eqeqeq: 'error',
    },
  },
  {
    // What is loaded on first use is loaded by `require`, and only there.
    files: ['src/native/loader.ts', 'src/base/lazy.ts', 'src/cli/main.ts'],
    rules: { '@typescript-eslint/no-require-imports': 'off', '@typescript-eslint/no-unsafe-return': 'off' },
  },
  {
    files: ['__test__/**/*.ts'],
    rules: {
      // Tests hand in what the types forbid, to see it refused.
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: Object.fromEntries(
        // prettier-ignore
        ['process', 'console', 'Buffer', 'URL', 'require', 'module', 'exports', '__dirname', 'performance',
          'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'queueMicrotask', 'AbortController', 'AbortSignal',
          'TextEncoder', 'TextDecoder', 'structuredClone', 'globalThis', 'gc']
          .map((name) => [name, 'readonly']),
      ),
    },
    rules: { eqeqeq: 'error' },
  },
)
