"""Words of general English by subject; words about the same subject can stand for each other."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from text_lloom.local.words import key_of

__all__ = ["Name", "Subject", "kin_of", "plural_of", "subjects"]

# One subject per line: first the words that can name it, in the form of a name, with = between synonyms;
# after | other words that show it. Words that are often used in other senses are left out.
_SUBJECTS: Final = """
buses minibuses
trains=rail=railways=railroads trams carriages subway=metro
bikes=bicycles=e-bikes cycling=cyclists=bikers | pedal
cars=vehicles=automobiles=SUVs motorists
traffic congestion=gridlock queues | jam
lorries=trucks=HGVs vans
deliveries=shipments parcels=packages couriers unloading=loading
pavements=footpaths=footways=sidewalks kerbs=curbs
crossings pedestrians crosswalks | zebra
fares tickets
parking | parked multistorey
prices=costs affordability | expensive cheap pricey costly affordable
fees=charges tolls levies surcharges
timetables schedules
delays=lateness cancellations reliability=punctuality | late cancelled unreliable reliable overdue
flights airports airlines | airplane
scooters mopeds skateboards
potholes resurfacing asphalt tarmac
accessibility wheelchairs disability impairments autism ramps | disabled accessible blind deaf autistic
benches seats=seating=chairs sofas
stairs lifts=elevators escalators handrails
toilets=bathrooms=restrooms
trees gardens planting shade shrubs hedges lawns greenery grass flowers
wildlife birds animals habitats
dogs cats pets | puppy kitten
noise racket din hum quiet silence | noisy loud deafening
pollution emissions smog fumes smoke dust diesel exhaust asthma | breathe inhaler lungs
climate warming carbon greenhouse
rain snow weather storms wind floods flooding hurricanes | icy
lights=lamps=lanterns=streetlights darkness | lighting lit dark unlit torch
nights midnight nightlife | overnight
shifts rotas overtime
jobs=employment=careers employers=employees workplaces colleagues bosses unemployment | unemployed
wages salaries payroll earnings paychecks | earn
schools pupils teachers classrooms education nurseries kindergartens | primary
universities students colleges campus tuition professors degrees | undergraduate
children=kids babies=infants=toddlers | buggy pram
parents mothers=mum=mom fathers=dad
grandparents=grandmothers=grandfathers grandchildren=granddaughters=grandsons | gran nan
pensioners pensions retirement | elderly retired senior
marriage divorce wedding husbands wives spouses | marry
hospitals=clinics doctors=physicians=surgeons nurses patients surgery ambulances
medicines prescriptions medication pharmacies drugs Medicare Medicaid pills
disease illness cancer infection viruses pandemic Covid vaccines
depression anxiety therapy therapists suicide
pain injuries wounds | hurt injured hip wrist
accidents crashes collisions
death funerals graves | dead died
bridges tunnels viaducts
harbours=ports=docks=marinas=quays boats=ships=ferries
construction builders cranes scaffolding excavation roadworks demolition diggers
rent landlords tenants eviction mortgages leases
housing=houses=apartments homelessness | homeless
shops=shopping retailers traders customers supermarkets grocers shopkeepers | retail grocery
businesses=companies=firms=enterprises entrepreneurs
restaurants=cafes kitchens chefs diners
food meals lunch dinner breakfast | eat eaten ate cook
alcohol beer wine pubs whiskey | drunk
litter=rubbish=garbage=trash waste recycling
police=cops officers sheriff
theft=thieves robbery burglary | steal stolen mugged nicked
crime=criminals felonies
violence assault abuse rape harassment | violent harass
murder killings homicide | kill
guns=firearms shootings rifles weapons shooters
prisons=jails inmates incarceration
courts judges lawyers=attorneys lawsuits
laws=legislation lawmakers statutes
government administration | federal
Congress senators Senate parliament representatives
elections voters votes ballots campaigns
Democrats Republicans
taxes taxpayers taxation
budgets spending deficits subsidies
economy inflation recession | economic
councils councillors mayor
protests activists demonstrations rallies
immigration immigrants=migrants refugees borders asylum | deport
military soldiers veterans army troops war
freedom liberty constitution | constitutional
racism discrimination prejudice bigotry racists | racist bigot
poverty inequality wealth welfare | rich
abortion pregnancy birth contraception | pregnant
feminism=feminists
misogyny sexism patriarchy misogynists | sexist misogynistic patriarchal
homosexuality gays=lesbians | gay homosexual transgender lgbt
sex sexuality | sexual
religion church faith prayer Christians Bible God | pray jesus
Islam Muslims mosques
energy electricity | solar
oil gas fuel petrol gasoline drilling
sewage water | drinking
farming=farmers=farms agriculture crops
pages leaflets appendix annexes chapters brochures documents
surveys consultation questionnaires
forecasts predictions estimates projections | predict
statistics calculations arithmetic
lies honesty liars dishonesty | lied lying dishonest honest deceive
promises pledges | promised
apologies | apologise apologize
criticism blame failures | criticize criticise condemn oppose slam denounce failed fault
praise gratitude congratulations | congratulate grateful credit
anger rage outrage | angry furious
fear | afraid scared scary terrified frightening frightened
danger hazards | dangerous unsafe hazardous risky
safety | safe
jokes comedy humor humour laughter | funny hilarious laugh laughing
tears crying | cry
confusion | confused confusing
loneliness isolation | lonely isolated
love affection | loved adorable
hatred hate disgust | hated disgusting
happiness joy | happy glad joyful
sadness grief sorrow | sad
surprise | surprised shocked shocking surprising
curiosity | curious
pride | proud
luck | lucky
friends friendship
women=ladies=females girls
men=males=guys boys
beauty | beautiful gorgeous
stupidity idiots morons | stupid
money cash=coins
banks
payments repayment
refunds reimbursement | refunded reimbursed
loans debts lenders
currencies exchange dollars euros
transfers remittances
identity passports verification | verify
passwords=passcodes PIN
withdrawals ATM | withdraw
deposits cheques
phones=telephones=mobiles=smartphones
apps=applications
computers laptops
websites internet | online web
letters=mail emails
games=gaming players=gamers
teams football leagues basketball baseball soccer coaches quarterbacks
films=movies actors cinemas
music songs bands albums singers
books novels readers libraries
videos clips footage
photos=pictures=photographs
cameras=CCTV surveillance
tourism tourists holidays vacations hotels guests
charities volunteers donations | donate
privacy confidentiality
fraud scams scammers hackers
robots automation | robotic
bias unfairness fairness | biased unfair
software programmers developers debugging
keyboards mice trackpads
displays screens monitors
speech voice audio microphones | spoken
languages translation translators | translate
visualizations charts
staff=personnel guards=attendants=wardens | unstaffed
"""


class Name(NamedTuple):
    """A word that can name a subject: its form, and the number that it shares with its synonyms."""

    form: str
    number: int


class Subject(NamedTuple):
    """A subject of general English.

    Attributes:
        names: Words that can name it, by key.
        keys: Keys of all words that show it.
    """

    names: dict[str, Name]
    keys: tuple[str, ...]


@cache
def subjects() -> tuple[Subject, ...]:
    """Subjects of general English, with the words that show them."""
    found = []
    for line in _SUBJECTS.strip().splitlines():
        words, _, others = line.partition("|")
        names: dict[str, Name] = {}
        for number, synonyms in enumerate(words.split()):
            for word in synonyms.split("="):
                names.setdefault(key_of(word), Name(word, number))
        found.append(Subject(names, tuple(dict.fromkeys([*names, *map(key_of, others.split())]))))
    return tuple(found)


@cache
def _kin() -> dict[str, frozenset[str]]:
    kin: dict[str, set[str]] = {}
    for subject in subjects():
        for key in subject.keys:
            kin.setdefault(key, set()).update(subject.keys)
    return {key: frozenset(others - {key}) for key, others in kin.items()}


def kin_of(key: str) -> frozenset[str]:
    """Keys of all words about the same subject as a word."""
    return _kin().get(key, frozenset())


@cache
def _plurals() -> dict[str, str]:
    forms = {key: name.form for subject in subjects() for key, name in subject.names.items()}
    return {key: form for key, form in forms.items() if form.endswith("s") and form.islower()}


def plural_of(key: str) -> str:
    """The plural of a noun that is listed in the plural here; `""` for any other word."""
    return _plurals().get(key, "")
