import { expect, test } from 'vitest'

const script = () => import('../../scripts/lib/addon-map.mjs')

const own = '/target/release/deps/addon.addon.0-cgu.0.rcgu.o'
const c = '/target/release/deps/rustcX/libaws_lc_sys-67b4bd572dedcef2.rlib(e8e4-cbb.o)'
const map = `             VMA              LMA     Size Align Out     In      Symbol
              10               10       20     8 .rela.dyn
              10               10       20     8         <internal>:(.rela.dyn)
             100              100       10     4 .gcc_except_table
             100              100       10     4         ${own}:(.gcc_except_table._ZN6rustls4conn4Conn4read17h0123456789abcdefE)
             100              100        0     1                 GCC_except_table18
             200              200       48     8 .rodata
             200              200       30     8         ${own}:(.rodata..Lanon.e658802114ee941fe2e9f721de1f04ee.44)
             230              230       18     8         ${c}:(.rodata.table)
             300              300       60    16 .text
             300              300       40    16         ${own}:(.text._ZN6rustls4conn4Conn4read17h0123456789abcdefE)
             300              300       40     1                 rustls::conn::Conn::read
             340              340       20    16         ${c}:(.text.CBB_init)
             340              340       20     1                 CBB_init
             400              400     1000     8 .bss
             400              400     1000     8         ${own}:(.bss._ZN6rustls4conn4POOL17h0123456789abcdefE)
`

test('each byte of the file counts once, for the crate that it is of', async () => {
  const { sizesOf } = await script()
  expect(sizesOf(map)).toEqual([
    { name: 'rustls', code: 0x40, constants: 0, unwinding: 0x10, total: 0x50 },
    { name: 'aws_lc_sys (C)', code: 0x20, constants: 0x18, unwinding: 0, total: 0x38 },
    { name: '(Rust: constants, unwinding)', code: 0, constants: 0x30, unwinding: 0, total: 0x30 },
    {
      name: '(the linker: relocations, shared strings)',
      code: 0,
      constants: 0x20,
      unwinding: 0,
      total: 0x20,
    },
  ])
})

test.each([
  ['.text._ZN6rustls4conn4Conn4read17h0123456789abcdefE', 'rustls'],
  ['.text._ZN66_$LT$str0m..rtp..Header$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE', 'str0m'],
  [
    '.text._ZN68_$LT$$RF$T$u20$as$u20$combine..parser..Parser$LT$Input$GT$$GT$5parse17h0123456789abcdefE',
    'combine',
  ],
  ['.text._RNvMNtCslNYArtu3iFV_5alloc6stringNtB2_6String15from_utf8_lossy', 'alloc'],
  ['.text._RNvNtCsgEmfK2I1SDS_4core9panicking18panic_nounwind_fmt', 'core'],
  ['.text.napi_register_module_v1', undefined],
  ['.rodata..Lanon.e658802114ee941fe2e9f721de1f04ee.44', undefined],
])('the crate of %s', async (section, crate) => {
  const { crateOf } = await script()
  expect(crateOf(section)).toBe(crate)
})

test('the map of another linker is refused', async () => {
  const { sizesOf } = await script()
  expect(() => sizesOf('Archive member included to satisfy reference by file (symbol)\n')).toThrow(/no map/)
})
